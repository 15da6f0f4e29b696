"""Formats that are recognised and not read, so that the refusal can say what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from rtdetr_nb.datasets.pictures.picture_names import PICTURE_SUFFIXES

_MOST_FILES = 5_000  # below the folder that are looked at by name
_MOST_JSON = 20
_LARGEST = 4_000_000  # bytes of a JSON file that is parsed
_EXPORT = "Export the set as COCO, YOLO or Pascal VOC from the tool that made it."


def describe_foreign(root: Path) -> str:
    """A sentence on what a folder seems to hold and what to do; "" if that is not known."""
    below = sorted(islice(_walk(root), _MOST_FILES))
    for name, holds in _FORMATS.items():
        if holds(below):
            return f"It looks like {name}. {_EXPORT}"
    archive = next((p for p in below if p.suffix.lower() in (".zip", ".tar", ".gz", ".7z")), None)
    if archive is not None:
        return f"{archive.name} is packed: unpack it first."
    if below and all(path.suffix.lower() in PICTURE_SUFFIXES for path in below):
        return "There are pictures and no labels: a detector needs boxes to learn from."
    return ""


def _walk(root: Path) -> Iterable[Path]:
    """The files below a folder, one after the other: a home folder may have millions."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def _labelme(below: list[Path]) -> bool:
    return _some_json(below, lambda c: isinstance(c, dict) and {"shapes", "imagePath"} <= c.keys())


def _createml(below: list[Path]) -> bool:
    def holds(content: Any) -> bool:
        first = content[0] if isinstance(content, list) and content else {}
        return isinstance(first, dict) and {"image", "annotations"} <= first.keys()

    return _some_json(below, holds)


def _supervisely(below: list[Path]) -> bool:
    return any(path.name == "meta.json" for path in below) and any(
        path.parent.name == "ann" and path.suffix == ".json" for path in below
    )


def _csv(below: list[Path]) -> bool:
    return any(
        path.suffix.lower() == ".csv" and {"xmin", "x_min", "bbox_x"} & _header(path)
        for path in below
    )


def _hugging_face(below: list[Path]) -> bool:
    return any(path.name == "metadata.jsonl" or path.suffix == ".parquet" for path in below)


def _tensorflow(below: list[Path]) -> bool:
    return any(path.suffix in (".tfrecord", ".record") for path in below)


_FORMATS: dict[str, Callable[[list[Path]], bool]] = {
    "LabelMe's: a JSON file with shapes for each picture": _labelme,
    "CreateML's: a JSON list of pictures": _createml,
    "Supervisely's: meta.json and ann/": _supervisely,
    "a CSV file of boxes": _csv,
    "a data set of Hugging Face's: metadata.jsonl or Parquet files": _hugging_face,
    "TensorFlow's: TFRecord files": _tensorflow,
}


def _some_json(below: list[Path], holds: Callable[[Any], bool]) -> bool:
    """Whether one of the first JSON files is of that kind."""
    listed = (path for path in below if path.suffix.lower() == ".json")
    return any(_json_holds(path, holds) for path in islice(listed, _MOST_JSON))


def _json_holds(path: Path, holds: Callable[[Any], bool]) -> bool:
    try:
        return path.stat().st_size <= _LARGEST and holds(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return False


def _header(path: Path) -> set[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return {word.strip().lower() for word in file.readline(10_000).split(",")}
    except OSError:
        return set()
