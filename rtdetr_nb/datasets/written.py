"""A data set written out as the official code reads it: this kit's own layout."""

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from rtdetr_nb.datasets.pictures.picture_file import decode, is_deep
from rtdetr_nb.datasets.pictures.picture_headers import read_header
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.listing import first_of


def write_split(split: Split, folder: Path, times: int = 1) -> None:
    """Write `images/NAME/` and `annotations/NAME.json` of a split.

    Pictures that the official code reads as they are become links to their files, or copies where
    the system makes no links; those that have to be turned or scaled are written anew, as PNG. Ids
    of pictures are kept where they are numbers; annotations are numbered from 1; categories have
    the ids that the official code takes for labels.

    Args:
        split: to write.
        folder: of the data set.
        times: how often the list of pictures is written, one after the other; from the second time
            on each has an id and a name that no other has.

    Raises:
        DatasetError: pictures are missing or cannot be read, or a file cannot be written.
    """
    split.check_usable()
    images = folder / "images" / split.name
    annotations = folder / "annotations" / f"{split.name}.json"
    if annotations.exists() or images.exists():
        raise DatasetError(f"{folder} holds {first_of([images, annotations])}. Give a new folder.")
    try:
        annotations.parent.mkdir(parents=True, exist_ok=True)
        first = [_write_picture(split, index, images) for index in range(len(split))]
        ids = _ids(split, times)
        pictures = [_again(first, images, copy, ids[copy]) for copy in range(times)]
        content = {
            "images": [entry for entries in pictures for entry in entries],
            "annotations": _annotations(split, ids),
            "categories": [
                {"id": split.rule.output_id(label), "name": name}
                for label, name in split.classes.items()
            ],
        }
        annotations.write_bytes(msgspec.json.encode(content))
    except OSError as error:
        raise DatasetError(
            f"{error.filename or folder} cannot be written ({error.strerror}). Make room, or give "
            "another folder."
        ) from error


def _write_picture(split: Split, index: int, images: Path) -> dict[str, Any]:
    """Put a picture in place; returns its entry."""
    source, listed = split.image_path(index), split.listed_size_wh(index)
    name = split.paths[index].replace("\\", "/").lstrip("/")
    name = "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
    header = read_header(source, listed)
    if header is None or header.is_turned or is_deep(header.mode):
        name = f"{name}.png"
        image = decode(source, split.source, listed)
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(images / name)
        size_wh = image.size
    else:
        _link(source, images / name)
        size_wh = header.size_wh
    image_id = int(split.pictures.image_ids[index])
    return {"id": image_id, "file_name": name, "width": size_wh[0], "height": size_wh[1]}


def _ids(split: Split, times: int) -> list[list[int]]:
    """Ids of the pictures, a list each time: those that they have, and new ones behind them."""
    own = split.pictures.image_ids.tolist()
    behind = max(own, default=0) + 1
    count = len(own)
    new = [range(behind + copy * count, behind + (copy + 1) * count) for copy in range(times - 1)]
    return [own, *map(list, new)]


def _again(
    entries: list[dict[str, Any]], images: Path, copy: int, ids: list[int]
) -> list[dict[str, Any]]:
    """The entries of pictures that were written, for another time."""
    if copy == 0:
        return entries
    copies = []
    for entry, image_id in zip(entries, ids, strict=True):
        name = f"again_{copy:03}/{entry['file_name']}"
        _link(images / entry["file_name"], images / name)
        copies.append({**entry, "id": image_id, "file_name": name})
    return copies


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(os.path.realpath(source))
    except (OSError, NotImplementedError):  # not allowed, as on Windows, or not on this disk
        shutil.copyfile(source, target)


def _annotations(split: Split, ids: list[list[int]]) -> list[dict[str, object]]:
    """Usable boxes, once for each list of ids of the pictures."""
    columns = split.pictures.boxes
    rows = zip(
        columns.images.tolist(),
        split.labels.tolist(),
        columns.boxes_xywh.tolist(),
        columns.areas.tolist(),
        columns.crowds.tolist(),
        strict=True,
    )
    usable = [row for row in rows if row[1] >= 0 and row[2][2] > 0 and row[2][3] > 0]
    repeated = ((own, row) for own in ids for row in usable)
    return [
        {
            "id": number,
            "image_id": own[image],
            "category_id": split.rule.output_id(label),
            "bbox": box,
            "area": area,
            "iscrowd": int(is_crowd),
        }
        for number, (own, (image, label, box, area, is_crowd)) in enumerate(repeated, start=1)
    ]
