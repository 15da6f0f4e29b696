"""What a layout finds in a folder, and how it looks for it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtdetr_nb.datasets.annotations.annotation_cache import read_once
from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures
from rtdetr_nb.datasets.annotations.notes import DataNote

_WORDS = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val", "valset": "val", "eval": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_MOST_FOLDERS = 100  # beside an annotation file that are looked into
_LOOKED_AT = 32  # names of a split, to tell which folder they are in


@dataclass(frozen=True)
class FoundSplit:
    """One split as it was found.

    Attributes:
        folder: that the names of the pictures are relative to.
        pictures: with their boxes.
        official: whether the official code can be given the folder and `pictures.source`.
    """

    folder: Path
    pictures: LabelledPictures
    official: bool = True


@dataclass(frozen=True)
class Found:
    """A data set as it was found.

    Attributes:
        train: to train on.
        val: to evaluate on; None if there is none.
        notes: what was decided.
    """

    train: FoundSplit
    val: FoundSplit | None
    notes: tuple[DataNote, ...] = ()


def split_of(name: str) -> str | None:
    """ "train", "val" or "test", for a name with such a word in it; None if it has none, or two.

    Digits may stand behind the word, as in `instances_val2017`.
    """
    words = re.findall(r"[a-z]+", name.lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def folders(path: Path) -> list[Path]:
    """The folders in a folder, by name; nothing for what is no folder."""
    return [entry for entry in _entries(path) if entry.is_dir()]


def files(path: Path, suffix: str) -> list[Path]:
    """The files of a suffix in a folder, by name."""
    return [each for each in _entries(path) if each.suffix.lower() == suffix and each.is_file()]


def _entries(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith((".", "__")))
    except OSError:
        return []


def coco_found(root: Path, annotations: Mapping[str, Path]) -> Found | None:
    """A data set of COCO-format files.

    Args:
        root: the folder of the data set.
        annotations: file by split, "train" and perhaps "val".

    Returns:
        None without a file for "train".

    Raises:
        DatasetError: a file cannot be used.
    """
    if "train" not in annotations:
        return None
    train = coco_split(annotations["train"], picture_folders(root, "train"))
    val = annotations.get("val")
    return Found(train, val and coco_split(val, picture_folders(root, "val")))


def picture_folders(root: Path, split: str) -> list[Path]:
    """Folders where the pictures of a split may lie, the likely ones first."""
    places = [*folders(root / "images"), *folders(root)]
    named = [folder for folder in places if split_of(folder.name) == split]
    return [*named, *(folder / "images" for folder in named), root / "images", root]


def coco_split(annotations: Path, candidates: Sequence[Path]) -> FoundSplit:
    """A split by its COCO-format file.

    Args:
        annotations: the file.
        candidates: folders that its names may be relative to; the one with most of them is it. The
            file's own folder and those in it come last.

    Raises:
        DatasetError: the file cannot be used.
    """
    pictures = read_once(annotations)
    beside = [annotations.parent, *folders(annotations.parent)[:_MOST_FOLDERS]]
    return FoundSplit(_folder_of(pictures, [*candidates, *beside]), pictures)


def by_split(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by the split in their name; the first of several."""
    found: dict[str, Path] = {}
    for path in paths:
        split = split_of(path.stem)
        if split is not None:
            found.setdefault(split, path)
    return found


def _folder_of(pictures: LabelledPictures, candidates: Sequence[Path]) -> Path:
    step = max(len(pictures) // _LOOKED_AT, 1)
    names = [pictures.names[index] for index in range(0, len(pictures), step)]
    bases = [re.split(r"[\\/]", name)[-1] for name in names]

    def fit(folder: Path) -> tuple[int, int, bool]:
        whole = sum(_is_file(folder / name) for name in names)
        return whole, sum(_is_file(folder / base) for base in bases), folder.is_dir()

    return max(candidates, key=fit)  # of equal ones the first


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def is_coco_file(path: Path) -> bool:
    """Whether a JSON file speaks of images and annotations."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    # Also in the encodings of two bytes a letter.
    plain = content.replace(b"\0", b"")
    return b'"images"' in plain and b'"annotations"' in plain
