"""What a part of the notebooks leaves out: some cells, and links to the other notebooks."""

import re
from collections.abc import Collection
from typing import Any

NOTEBOOK_ONLY = "notebook-only"
"""Tag of cells that speak of the cells themselves, which a page without code does not show."""

# [text](name.ipynb), as the notebooks refer to each other.
_LINK = re.compile(r"\[([^\]]+)\]\(([\w.-]+\.ipynb)\)")


def leave_out_cells(cells: list[dict[str, Any]], tag: str | None) -> None:
    """Remove the cells that have the tag."""
    cells[:] = [c for c in cells if tag not in c.get("metadata", {}).get("tags", [])]


def keep_living_links(cells: list[dict[str, Any]], names: Collection[str]) -> None:
    """Make plain text of links to notebooks whose file name is not in `names`."""

    def living(link: re.Match[str]) -> str:
        return link.group() if link.group(2) in names else link.group(1)

    for cell in cells:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            cell["source"] = _LINK.sub(living, text).splitlines(keepends=True)
