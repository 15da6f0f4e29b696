"""Annotations of COCO's size, made up: 118,287 and 5,000 pictures, 860,001 and 36,781 boxes."""

from pathlib import Path

import numpy as np

from rtdetr_nb.coco_categories import COCO_CATEGORY_IDS

# Pictures and boxes of train2017 and val2017.
SPLITS = {"train": (118_287, 860_001), "val": (5_000, 36_781)}
_CORNERS = 12  # of a polygon, so that the file is as long as COCO's, 298 MB
_PIECE = 20_000  # boxes that are written at once


def write_coco_size(folder: Path) -> Path:
    """Write `annotations/instances_{train,val}2017.json` and empty picture folders."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split, (pictures, boxes) in SPLITS.items():
        (folder / f"{split}2017").mkdir(exist_ok=True)
        path = folder / "annotations" / f"instances_{split}2017.json"
        with open(path, "w", encoding="ascii") as file:
            file.write('{"info": {}, "licenses": [], "images": [')
            file.write(", ".join(map(_picture, range(pictures))))
            file.write('], "annotations": [')
            for first in range(0, boxes, _PIECE):
                count = min(_PIECE, boxes - first)
                file.write((", " if first else "") + _boxes(first, count, pictures))
            categories = ", ".join(f'{{"id": {i}, "name": "c{i}"}}' for i in COCO_CATEGORY_IDS)
            file.write(f'], "categories": [{categories}]}}')
    return folder


def _picture(index: int) -> str:
    return (
        f'{{"license": 3, "file_name": "{index:012}.jpg", "coco_url": "http://images.example.org/'
        f'{index:012}.jpg", "height": 480, "width": 640, "date_captured": "2013-11-14 17:02:52", '
        f'"id": {index}}}'
    )


def _boxes(first: int, count: int, pictures: int) -> str:
    """JSON of `count` annotations, without the brackets."""
    rng = np.random.default_rng(first)
    images = rng.integers(0, pictures, count).tolist()
    categories = rng.choice(COCO_CATEGORY_IDS, count).tolist()
    places = np.round(rng.uniform(1, 300, (count, 4)), 2).tolist()
    corners = np.round(rng.uniform(1, 600, (count, 2 * _CORNERS)), 2).tolist()
    return ", ".join(
        f'{{"segmentation": [{polygon}], "area": {box[2] * box[3] / 2:.4f}, "iscrowd": 0, '
        f'"image_id": {image}, "bbox": {box}, "category_id": {category}, "id": {first + place}}}'
        for place, (image, category, box, polygon) in enumerate(
            zip(images, categories, places, corners, strict=True)
        )
    )
