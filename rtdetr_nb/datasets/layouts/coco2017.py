"""COCO's own: `train2017/`, `val2017/`, `annotations/instances_train2017.json`, of any year."""

import re
from pathlib import Path

from rtdetr_nb.datasets.layouts.found import Found, by_split, coco_found, files

NAME = "COCO's own"
LOOKED_FOR = "train2017 and annotations/instances_train2017.json"

_FILE = re.compile(r"instances_[a-z]+\d{4}", re.IGNORECASE)


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: an annotation file cannot be used.
    """
    named = [path for path in files(root / "annotations", ".json") if _FILE.fullmatch(path.stem)]
    return coco_found(root, by_split(named))
