"""Label Studio's COCO export: `result.json` and `images/`."""

from pathlib import Path

from rtdetr_nb.datasets.layouts.found import Found, coco_found, is_coco_file

NAME = "Label Studio's COCO export"
LOOKED_FOR = "result.json and images"


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: the annotation file cannot be used.
    """
    path = root / "result.json"
    return coco_found(root, {"train": path}) if path.is_file() and is_coco_file(path) else None
