"""A data set written out as the official code reads it: this kit's own layout."""

import os
import shutil
from pathlib import Path

import msgspec

from rtdetr_nb.datasets.annotations.notes import first_few
from rtdetr_nb.datasets.pictures.picture_file import decode, is_deep
from rtdetr_nb.datasets.pictures.picture_headers import read_header
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import DatasetError


def write_split(split: Split, folder: Path) -> None:
    """Write `images/NAME/` and `annotations/NAME.json` of a split.

    Pictures that the official code reads as they are become links to their files, or copies where
    the system makes no links; those that have to be turned or scaled are written anew, as PNG. Ids
    of pictures are kept where they are numbers; annotations are numbered from 1; categories have
    the ids that the official code takes for labels.

    Raises:
        DatasetError: pictures are missing or cannot be read, or a file cannot be written.
    """
    split.check_usable()
    images = folder / "images" / split.name
    annotations = folder / "annotations" / f"{split.name}.json"
    if annotations.exists() or images.exists():
        raise DatasetError(f"{folder} holds {first_few([images, annotations])}. Give a new folder.")
    try:
        annotations.parent.mkdir(parents=True, exist_ok=True)
        pictures = [_write_picture(split, index, images) for index in range(len(split))]
        content = {
            "images": pictures,
            "annotations": _annotations(split),
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


def _write_picture(split: Split, index: int, images: Path) -> dict[str, object]:
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


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(os.path.abspath(source))
    except (OSError, NotImplementedError):  # not allowed, as on Windows, or not on this disk
        shutil.copyfile(source, target)


def _annotations(split: Split) -> list[dict[str, object]]:
    columns, ids = split.pictures.boxes, split.pictures.image_ids.tolist()
    rows = zip(
        columns.images.tolist(),
        split.labels.tolist(),
        columns.boxes_xywh.tolist(),
        columns.areas.tolist(),
        columns.crowds.tolist(),
        strict=True,
    )
    usable = (row for row in rows if row[1] >= 0 and row[2][2] > 0 and row[2][3] > 0)
    return [
        {
            "id": number,
            "image_id": ids[image],
            "category_id": split.rule.output_id(label),
            "bbox": box,
            "area": area,
            "iscrowd": int(is_crowd),
        }
        for number, (image, label, box, area, is_crowd) in enumerate(usable, start=1)
    ]
