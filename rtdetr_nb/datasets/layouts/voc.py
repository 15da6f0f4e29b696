"""Pascal VOC's: `JPEGImages/`, `Annotations/` of XML files, and lists in `ImageSets/Main/`.

Also without lists: XML files among the pictures of `train/` and `valid/`.
"""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from rtdetr_nb.datasets.annotations.annotation_cache import remembered
from rtdetr_nb.datasets.annotations.notes import NOTE, DataNote
from rtdetr_nb.datasets.layouts.found import Found, FoundSplit, folders, split_of
from rtdetr_nb.datasets.layouts.label_files import PictureLabels, each_of, pack_labels
from rtdetr_nb.datasets.layouts.voc_label import VocLabel, begin_of_pixels, read_label_file
from rtdetr_nb.datasets.pictures.picture_names import PICTURE_SUFFIXES
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.plain_text import counted

NAME = "Pascal VOC's"
LOOKED_FOR = "Annotations of .xml files and JPEGImages"

_PICTURES = ("JPEGImages", "images", "Images")
_MARKED = ("annotations", "Annotations", "xmls")


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: a list names what is not there, or an XML file cannot be read.
    """
    for place in (root, *_nested(root)):
        files = _files_by_split(place)
        if "train" in files:
            labels = [path for paths in files.values() for path in paths]
            splits = tuple((split, len(paths)) for split, paths in files.items())
            return remembered(
                ("voc", str(place), splits),
                [*labels, *_folders_below(place)],
                partial(_read, place, files),
            )
    return None


def _read(root: Path, files: dict[str, list[Path]]) -> Found:
    labels = {split: each_of(read_label_file, paths) for split, paths in files.items()}
    return _found(root, labels)


def _folders_below(root: Path) -> list[Path]:
    """All folders: the time of one changes when a picture comes or goes."""
    return [Path(folder) for folder, _, _ in os.walk(root)]


def _nested(root: Path) -> list[Path]:
    """`VOCdevkit/VOC2012` and the like."""
    inside = [*folders(root), *(inner for folder in folders(root) for inner in folders(folder))]
    return [folder for folder in inside if (folder / "JPEGImages").is_dir()]


def _files_by_split(root: Path) -> dict[str, list[Path]]:
    """The XML files of train and val; of train alone where nothing tells them apart."""
    marked = next((root / name for name in _MARKED if any((root / name).glob("*.xml"))), None)
    if marked is not None:
        by_list = _by_lists(root, marked)
        return by_list or {"train": sorted(marked.glob("*.xml"))}
    found: dict[str, list[Path]] = {}
    for folder in folders(root):
        files = sorted([*folder.glob("*.xml"), *folder.glob("*/*.xml")])
        split = split_of(folder.name)
        if files and split in ("train", "val"):
            found[split] = files
    beside = sorted(root.glob("*.xml"))
    return found or ({"train": beside} if beside else {})


def _by_lists(root: Path, marked: Path) -> dict[str, list[Path]]:
    """As `ImageSets/Main/train.txt` and `val.txt` say; empty without lists."""
    lists = root / "ImageSets" / "Main"
    vals = [lists / "val.txt", lists / "valid.txt"]
    val = next((path for path in vals if path.is_file()), None)
    train = lists / "train.txt"
    if not train.is_file() and val is None:
        train = lists / "trainval.txt"
    found = {}
    for split, file in (("train", train), ("val", val)):
        if file is not None and file.is_file():
            found[split] = _listed(file, marked)
    return found if "train" in found else {}


def _listed(file: Path, marked: Path) -> list[Path]:
    """The XML files of the pictures that a list names."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    found = [marked / f"{line.split()[0]}.xml" for line in lines if line.split()]
    absent = [path.name for path in found if not path.is_file()]
    if absent:
        raise DatasetError(
            f"{file} lists {counted(len(absent), 'picture')} without a file in {marked} (first "
            f"{absent[0]}). Add them, or take them off the list."
        )
    return found


def _found(root: Path, labels: dict[str, list[VocLabel]]) -> Found:
    everything = [label for split in labels.values() for label in split]
    names = sorted({item.name for label in everything for item in label.objects})
    begin = begin_of_pixels(everything)
    splits = {split: _split(root, found, names, begin) for split, found in labels.items() if found}
    return Found(splits["train"], splits.get("val"), tuple(_told(root, everything, begin)))


def _split(root: Path, labels: list[VocLabel], names: list[str], begin: int) -> FoundSplit:
    places = [root / name for name in _PICTURES if (root / name).is_dir()]
    beside = labels[0].path.parent
    folder = places[0] if places else root
    files = _picture_files(folder if places else beside) or _picture_files(beside.parent)
    place_of = {name: place for place, name in enumerate(names)}
    rows = []
    for label in labels:
        found = files.get(label.filename) or files.get(label.path.stem)
        name = str(found.relative_to(folder)) if found else label.filename or label.path.stem
        boxes = label.boxes_xywh(begin)
        rows.append(
            PictureLabels(name, label.size_wh, [place_of[o.name] for o in label.objects], boxes)
        )
    return FoundSplit(folder, pack_labels(labels[0].path.parent, rows, names), official=False)


def _picture_files(folder: Path) -> dict[str, Path]:
    """Picture files by name, and by name without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            found.setdefault(path.stem, path)
            found[path.name] = path
    return found


def _told(root: Path, labels: Iterable[VocLabel], begin: int) -> list[DataNote]:
    notes = []
    difficult = sum(item.is_difficult for label in labels for item in label.objects)
    if difficult:
        notes.append(
            DataNote(
                "difficult objects", NOTE,
                f"{counted(difficult, 'object')} are marked difficult; they are used as all "
                "others.", str(root), count=difficult, official=False,
            )
        )  # fmt: skip
    if begin == 0:
        notes.append(
            DataNote(
                "pixels from 0", NOTE,
                "Some boxes begin at pixel 0: pixels are counted from 0, not from 1 as in VOC's "
                "own files.", str(root), official=False,
            )
        )  # fmt: skip
    return notes
