"""This kit's own layout: `images/train`, `images/val`, `annotations/train.json`, `.../val.json`."""

from pathlib import Path

from rtdetr_nb.datasets.layouts.found import Found, by_split, coco_found, files

NAME = "the kit's own"
LOOKED_FOR = "images/train, images/val, annotations/train.json and annotations/val.json"


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: an annotation file cannot be used.
    """
    named = [path for path in files(root / "annotations", ".json") if path.stem.isalpha()]
    return coco_found(root, by_split(named))
