"""CVAT's COCO export: `annotations/instances_default.json`, or one file a subset, and `images/`."""

import re
from pathlib import Path

from rtdetr_nb.datasets.layouts.found import Found, by_split, coco_found, files

NAME = "CVAT's COCO export"
LOOKED_FOR = "annotations/instances_default.json and images"

_FILE = re.compile(r"instances_.+", re.IGNORECASE)


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Subsets without one for training are taken for training where there is only one.

    Raises:
        DatasetError: an annotation file cannot be used.
    """
    named = [path for path in files(root / "annotations", ".json") if _FILE.fullmatch(path.stem)]
    annotations = by_split(named)
    if "train" not in annotations and len(named) == 1:
        annotations = {"train": named[0]}
    return coco_found(root, annotations)
