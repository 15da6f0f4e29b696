"""Whether a user has changed a copy of a notebook: each copy holds marks of how it was made.

Running cells changes outputs only, and saving changes how a file is laid out, so a mark is of
the texts of the cells.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

INJECTED_TAG = "injected-parameters"
"""Tag of the cell that the kit adds to a copy; what stands in it is no change by the user."""

_KEY = "rtdetr_nb"


def mark_of(content: Mapping[str, Any]) -> str:
    """A mark of kind and text of all cells, but for the injected one; of hexadecimal digits."""
    cells = [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in content["cells"]
        if INJECTED_TAG not in cell.get("metadata", {}).get("tags", [])
    ]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def remember(copy: dict[str, Any], source: Mapping[str, Any]) -> None:
    """Write into the metadata of a fresh copy which notebook it comes from, and what it is like."""
    marks = {"source": mark_of(source), "copy": mark_of(copy)}
    copy.setdefault("metadata", {})[_KEY] = marks


def is_changed(copy: Mapping[str, Any]) -> bool:
    """Whether a user has changed a copy since it was made; one without marks counts as changed."""
    return _marks(copy).get("copy") != mark_of(copy)


def is_of(copy: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether a copy was made from this version of a notebook."""
    return _marks(copy).get("source") == mark_of(source)


def _marks(copy: Mapping[str, Any]) -> Mapping[str, str]:
    return copy.get("metadata", {}).get(_KEY, {})
