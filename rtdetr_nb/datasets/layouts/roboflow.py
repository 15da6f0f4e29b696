"""Roboflow's COCO export: `_annotations.coco.json` among the pictures of `train/` and `valid/`."""

from pathlib import Path

from rtdetr_nb.datasets.layouts.found import Found, FoundSplit, coco_split, folders, split_of

NAME = "Roboflow's COCO export"
LOOKED_FOR = "train/_annotations.coco.json"

_FILE = "_annotations.coco.json"


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: an annotation file cannot be used.
    """
    found: dict[str | None, FoundSplit] = {}
    for folder in folders(root):
        if (folder / _FILE).is_file() and split_of(folder.name) in ("train", "val"):
            found[split_of(folder.name)] = coco_split(folder / _FILE, [folder])
    return Found(found["train"], found.get("val")) if "train" in found else None
