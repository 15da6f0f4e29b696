"""Whether this kernel serves a page of Voila, for which some things of a notebook do not hold."""

import os


def is_served_page() -> bool:
    """Return whether this kernel was started by Voila for one visitor of a page.

    Such a page shows changes of widgets as long as the visitor stays, but no change of what a cell
    has displayed once the cell is done.
    """
    return os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")
