"""YOLO's: `data.yaml`, `images/` and, with the same names, `labels/` of text files.

Tools that export without `data.yaml` write `classes.txt`, with a name a line, in its place.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from yaml import YAMLError

from rtdetr_nb.config.yaml_text import read_yaml
from rtdetr_nb.datasets.annotations.annotation_cache import remembered
from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures
from rtdetr_nb.datasets.annotations.notes import NOTE, DataNote
from rtdetr_nb.datasets.layouts.found import Found, FoundSplit, folders, split_of
from rtdetr_nb.datasets.layouts.label_files import PictureLabels, each_of, pack_labels
from rtdetr_nb.datasets.layouts.yolo_label import read_label_file
from rtdetr_nb.datasets.pictures.picture_headers import read_header
from rtdetr_nb.datasets.pictures.picture_names import PICTURE_SUFFIXES
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.files.pasted_path import pasted_path
from rtdetr_nb.text.plain_text import counted

NAME = "YOLO's"
LOOKED_FOR = "data.yaml with train, val and names, or classes.txt, images and labels"


def find(root: Path) -> Found | None:
    """The data set in a folder; None if it has another layout.

    Raises:
        DatasetError: `data.yaml` names what is not there, or a label file cannot be read.
    """
    described = _description(root)
    if described is None:
        return None
    file, content = described
    names = _class_names(file, content["names"])
    splits: dict[str, FoundSplit] = {}
    notes: list[DataNote] = []
    for key, value in content.items():
        split = split_of(str(key)) if value else None
        if split in ("train", "val"):
            splits[split] = _read_split(file, content, value, names)
            notes += _told_moved(file, content.get("path"), str(key), value)
    if "train" not in splits:
        return None
    return Found(splits["train"], splits.get("val"), tuple(notes))


def _description(root: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The YAML file in a folder that names training pictures and classes, and its content."""
    files = sorted(path for path in root.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    for file in sorted(files, key=lambda path: path.stem != "data"):
        try:
            content = read_yaml(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, YAMLError):
            continue
        if isinstance(content, Mapping) and "names" in content and content.get("train"):
            return file, content
    return _without_yaml(root)


def _without_yaml(root: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """`classes.txt` with what a `data.yaml` beside it would say."""
    file = root / "classes.txt"
    if not (file.is_file() and (root / "images").is_dir() and (root / "labels").is_dir()):
        return None
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read ({error}). Save it as UTF-8.") from error
    inside = {split_of(folder.name): folder for folder in folders(root / "images")}
    train, val = (inside.get(split) for split in ("train", "val"))
    return file, {
        "names": [name for name in names if name],
        "train": str((train or root / "images").relative_to(root)),
        "val": str(val.relative_to(root)) if train and val else None,
    }


def _class_names(file: Path, names: Any) -> list[str]:
    if isinstance(names, Mapping):
        try:
            numbered = {int(key): str(name) for key, name in names.items()}
        except (TypeError, ValueError) as error:
            raise DatasetError(
                f"{file}: names has the keys {list(names)[:5]}; expected numbers of classes."
            ) from error
        # A number without a name stays a class: the others keep theirs.
        return [numbered.get(place, str(place)) for place in range(max(numbered, default=-1) + 1)]
    if isinstance(names, list):
        return [str(name) for name in names]
    raise DatasetError(f"{file}: names is {names!r}; expected the names of the classes.")


def _read_split(file: Path, content: Mapping[str, Any], value: Any, names: list[str]) -> FoundSplit:
    pictures = [
        picture
        for part in _parts(value)
        for picture in _pictures(_place(file, content.get("path"), part))
    ]
    if not pictures:
        raise DatasetError(
            f"{file} names {value!r}, where there is no picture. Give folders of pictures, or text "
            "files that list them."
        )
    folder = _common_folder(pictures)
    # The sizes of pictures are read too: their boxes are fractions of them.
    files = [each for picture in pictures for each in (picture, _label_file(picture))]
    packed = remembered(
        ("yolo", str(folder), *names), files, lambda: _pack(pictures, folder, names)
    )
    return FoundSplit(folder, packed, official=False)


def _pack(pictures: list[Path], folder: Path, names: list[str]) -> LabelledPictures:
    labels = each_of(lambda path: _read_labels(path, folder, names), pictures)
    source = _label_file(pictures[0]).parent
    return pack_labels(source, labels, names, _told(pictures, source))


def _place(file: Path, base: Any, part: str) -> Path:
    """Where pictures lie: from the file's folder, or `path` there.

    Exports often count a folder too many (`../train/images`), or have a path of another machine.
    """
    given = pasted_path(part, DatasetError)
    tried = _literal_places(file, base, given)
    for place in (*tried, *_tails(file, given)):
        if place.exists():
            return place
    raise DatasetError(
        f"{file} names {part!r}, which is not there; tried {', '.join(map(str, tried))}, and the "
        f"ends of that path in {file.parent}."
    )


def _literal_places(file: Path, base: Any, given: Path) -> list[Path]:
    bases = [file.parent / pasted_path(str(base), DatasetError)] if base else []
    return [place / given for place in (*bases, file.parent)]


def _tails(file: Path, given: Path) -> list[Path]:
    """The ends of a path below the file's folder, the longest first."""
    names = [name for name in given.parts if name not in ("..", given.anchor)]
    return [file.parent / Path(*names[place:]) for place in range(len(names))]


def _told_moved(file: Path, base: Any, key: str, value: Any) -> Iterator[DataNote]:
    """A note where a path of another machine stands for one here."""
    for part in _parts(value):
        given = pasted_path(part, DatasetError)
        literal = _literal_places(file, base, given)
        if given.is_absolute() and not any(place.exists() for place in literal):
            yield DataNote(
                kind="paths of another machine",
                level=NOTE,
                what=f"{key} names {part}, which is not there; {_place(file, base, part)} is taken "
                "for it.",
                where=str(file),
                official=False,
            )


def _parts(value: Any) -> list[str]:
    """The places that a split names: one, or a list."""
    return [str(part) for part in (value if isinstance(value, list) else [value])]


def _pictures(place: Path) -> list[Path]:
    """The pictures in a folder and below it, or those that a text file lists."""
    if place.is_dir():
        found = (path for path in place.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        return sorted(path for path in found if not path.name.startswith("."))
    lines = place.read_text(encoding="utf-8-sig").splitlines()
    return [place.parent / line.strip() for line in lines if line.strip()]


def _common_folder(pictures: list[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in pictures]))


def _label_file(picture: Path) -> Path:
    """`labels` in place of the last `images` in the path, and `.txt`; else beside the picture."""
    parts = list(picture.parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "images":
            parts[place] = "labels"
            return Path(*parts).with_suffix(".txt")
    return picture.with_suffix(".txt")


def _read_labels(picture: Path, folder: Path, names: list[str]) -> PictureLabels:
    header = read_header(picture, None)
    size = header.size_wh if header is not None else (0, 0)
    classes, boxes = read_label_file(_label_file(picture), len(names))
    scaled = boxes * np.array([*size, *size], float)
    return PictureLabels(os.path.relpath(picture, folder), size, classes, scaled)


def _told(pictures: list[Path], source: Path) -> list[DataNote]:
    without = sum(not _label_file(picture).is_file() for picture in pictures)
    if not without:
        return []
    return [
        DataNote(
            kind="pictures without label file",
            level=NOTE,
            what=f"{counted(without, 'picture')} of {len(pictures):,} have no label file; they are "
            "taken for pictures without objects.",
            where=str(source),
            count=without,
            official=False,
        )
    ]
