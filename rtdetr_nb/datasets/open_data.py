"""Open a data set of any layout."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtdetr_nb.datasets.layouts import coco2017, cvat, flat, kit, label_studio, roboflow, voc, yolo
from rtdetr_nb.datasets.layouts.foreign import describe_foreign
from rtdetr_nb.datasets.layouts.found import Found, folders
from rtdetr_nb.datasets.source import DataSource, as_spec
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.files.pasted_path import pasted_path
from rtdetr_nb.text.listing import first_of

# The particular ones first: the last takes what is left.
_LAYOUTS = (kit, coco2017, roboflow, cvat, label_studio, yolo, voc, flat)
_SHOWN = 12  # entries of a folder that is not known


def open_data(data: DataSource | str | os.PathLike[str] | Mapping[str, Any]) -> DataSource:
    """Open a data set.

    What can be mended is, and told in `notes`; what spoils a run is told there too. Nothing is
    decoded: labels are read, names of pictures looked up, and the headers of some looked at.

    Args:
        data: the folder of a data set, its `data.yaml` or its annotation file; or, as
            `DataSource.from_files` takes it, `{"train": (pictures, annotations), "val": ...}`. What
            was opened already comes back as it is.

    Raises:
        DatasetError: no layout is known of what lies there, or an annotation file cannot be used.
    """
    if isinstance(data, DataSource):
        return data
    spec = as_spec(data)
    if not isinstance(spec, str):
        train, val = spec["train"], spec.get("val")
        return DataSource.from_files((train[0], train[1]), (val[0], val[1]) if val else None)
    given = pasted_path(spec, DatasetError)
    if not given.exists():
        raise DatasetError(f"There is no {given}. Give the folder of a data set.")
    for root in _roots(given):
        for layout in _LAYOUTS:
            found: Found | None = layout.find(root)
            if found is not None:
                return DataSource.of(layout.NAME, str(given), found)
    raise DatasetError(_unknown(given))


def _roots(given: Path) -> list[Path]:
    """Folders that may be that of the data set."""
    if given.is_file():
        return [given.parent, given.parent.parent]
    inside = folders(given)
    # Archives are often unpacked into a folder more than is meant.
    return [given, inside[0]] if len(inside) == 1 else [given]


def _unknown(given: Path) -> str:
    known = "; ".join(f"{layout.LOOKED_FOR} ({layout.NAME})" for layout in _LAYOUTS)
    there = sorted(f"{e.name}/" if e.is_dir() else e.name for e in _roots(given)[0].iterdir())
    hint = describe_foreign(given if given.is_dir() else given.parent)
    return (
        f"The layout of {given} is not known. {hint + ' ' if hint else ''}Expected a folder with "
        f"{known}. There lie: {first_of(there, _SHOWN) or 'nothing'}. DataSource.from_files("
        "train=(pictures, annotations), val=(...)) takes any COCO-format files."
    )
