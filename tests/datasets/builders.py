"""Little data sets in every layout, all of the same pictures and boxes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

NAMES = ("cat", "dog", "owl")
# Width and height of the pictures of a split; no two alike, so that mixed-up sizes are noticed.
SIZES = {
    "train": [(60 + 2 * i, 40 + i) for i in range(6)],
    "val": [(90 + 2 * i, 50 + i) for i in range(4)],
}


@dataclass(frozen=True)
class Truth:
    """A picture: its name, size in pixels, and rows of class, x, y, width, height in pixels."""

    name: str
    size_wh: tuple[int, int]
    boxes: list[tuple[int, int, int, int, int]]


def make_truth(split: str) -> list[Truth]:
    """Pictures with one to three boxes each; names differ between the splits."""
    rng = np.random.default_rng(len(split))
    pictures = []
    for place, size in enumerate(SIZES[split]):
        boxes = []
        for number in range(1 + place % 3):
            x, y = int(rng.integers(1, 20)), int(rng.integers(1, 15))
            width, height = int(rng.integers(8, 30)), int(rng.integers(6, 20))
            boxes.append(((place + number) % len(NAMES), x, y, width, height))
        pictures.append(Truth(f"{split}_{place}.png", size, boxes))
    return pictures


def write_picture(path: Path, size_wh: tuple[int, int], **options: Any) -> None:
    """A picture of noise, which depends on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(path.name.encode()))
    pixels = rng.integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def coco_content(
    pictures: list[Truth],
    name_of: Callable[[str], str] = lambda name: name,
    ids: tuple[Any, ...] = (0, 1, 2),
    first_image_id: int = 0,
) -> dict[str, Any]:
    """A COCO-format file; `ids` are those of the categories."""
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in zip(ids, NAMES, strict=True)],
    }
    for image_id, picture in enumerate(pictures, start=first_image_id):
        width, height = picture.size_wh
        entry = {"id": image_id, "file_name": name_of(picture.name)}
        content["images"].append({**entry, "width": width, "height": height})
        for label, *box in picture.boxes:
            content["annotations"].append({
                "id": len(content["annotations"]) + 1, "image_id": image_id, "bbox": box,
                "category_id": ids[label], "area": box[2] * box[3], "iscrowd": 0,
            })  # fmt: skip
    return content


def write_json(path: Path, content: Any) -> Path:
    """Write JSON, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_coco(
    root: Path, images: Mapping[str, str], annotations: Mapping[str, str], **options: Any
) -> Path:
    """A data set of COCO-format files: folder of pictures and annotation file by split."""
    for split, folder in images.items():
        for picture in make_truth(split):
            write_picture(root / folder / picture.name, picture.size_wh)
        if split in annotations:
            content = coco_content(make_truth(split), **options)
            write_json(root / annotations[split], content)
    return root


def write_kit(root: Path, **options: Any) -> Path:
    """This kit's own layout."""
    images = {split: f"images/{split}" for split in SIZES}
    return write_coco(root, images, {s: f"annotations/{s}.json" for s in SIZES}, **options)


def write_yolo(root: Path, val: str = "val") -> Path:
    """YOLO's layout."""
    for split, folder in (("train", "train"), ("val", val)):
        for picture in make_truth(split):
            write_picture(root / "images" / folder / picture.name, picture.size_wh)
            width, height = picture.size_wh
            lines = [
                f"{label} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}"
                for label, x, y, w, h in picture.boxes
            ]
            path = root / "labels" / folder / f"{Path(picture.name).stem}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines))
    names = "\n".join(f"  {place}: {name}" for place, name in enumerate(NAMES))
    text = f"path: .\ntrain: images/train\nval: images/{val}\nnames:\n{names}\n"
    (root / "data.yaml").write_text(text)
    return root


def write_voc(root: Path, lists: bool = True) -> Path:
    """Pascal VOC's layout, corners counted from 1."""
    for split in SIZES:
        pictures = make_truth(split)
        for picture in pictures:
            write_picture(root / "JPEGImages" / picture.name, picture.size_wh)
            path = root / "Annotations" / f"{Path(picture.name).stem}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(voc_xml(picture))
        if lists:
            file = root / "ImageSets" / "Main" / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(Path(picture.name).stem for picture in pictures))
    return root


def voc_xml(picture: Truth) -> bytes:
    """An XML file of Pascal VOC's."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = picture.name
    size = ElementTree.SubElement(root, "size")
    for name, value in zip(("width", "height"), picture.size_wh, strict=True):
        ElementTree.SubElement(size, name).text = str(value)
    for label, x, y, width, height in picture.boxes:
        item = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(item, "name").text = NAMES[label]
        box = ElementTree.SubElement(item, "bndbox")
        corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        for name, value in corners.items():
            ElementTree.SubElement(box, name).text = str(value)
    return ElementTree.tostring(root)


def perfect(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations of a COCO-format file as detections."""
    keys = ("image_id", "category_id", "bbox")
    return [{**{key: a[key] for key in keys}, "score": 0.9} for a in content["annotations"]]
