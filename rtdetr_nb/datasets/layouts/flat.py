"""Pictures and COCO-format files without a tool's layout: the files' names, or folders, tell all.

`train.json` and `valid.json` beside the pictures or a folder of them, `annotations/my_train.json`,
`train/labels.json` among the pictures of `train/`, or one JSON file for all.
"""

from pathlib import Path

from rtdetr_nb.datasets.layouts.found import (
    Found,
    by_split,
    coco_found,
    files,
    folders,
    is_coco_file,
    split_of,
)

NAME = "pictures with COCO-format files"
LOOKED_FOR = "one COCO-format .json file, or one with train and one with val in its name"


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: an annotation file cannot be used.
    """
    for place in (root, *folders(root)):
        listed = [path for path in files(place, ".json") if is_coco_file(path)]
        found = coco_found(root, by_split(listed))
        if found is not None:
            return found
    inside = _one_in_each(root)
    if "train" in inside:
        return coco_found(root, inside)
    everywhere = [
        path
        for place in (root, *folders(root))
        for path in files(place, ".json")
        if is_coco_file(path)
    ]
    return coco_found(root, {"train": everywhere[0]}) if len(everywhere) == 1 else None


def _one_in_each(root: Path) -> dict[str, Path]:
    """The only COCO-format file in each folder with a split in its name."""
    found: dict[str, Path] = {}
    for folder in folders(root):
        split = split_of(folder.name)
        listed = [path for path in files(folder, ".json") if is_coco_file(path)]
        if split is not None and len(listed) == 1:
            found[split] = listed[0]
    return found
