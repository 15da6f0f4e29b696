"""Pictures of shapes on textured grounds, in COCO format, drawn from a seed.

The sample data set of the repository (`data/shapes`) and the endless pictures that trained the demo
backbone come from here. A class is a silhouette and nothing else: colour, texture, size, rotation,
proportion and place are drawn independently of it, so only a network that sees form can tell the
classes apart. Every picture is a pure function of its seed:

    python -m rtdetr_nb.datasets.shapes.generate data/shapes --train 64 --val 32 --seed 0
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rtdetr_nb.datasets.shapes.silhouettes import CLASS_NAMES, signed_distance, unit_areas
from rtdetr_nb.datasets.shapes.textures import draw_texture

MIN_DIAMETER, MAX_DIAMETER = 16.0, 200.0
# Mean brightness: objects are lighter than the ground, and stand nearly upright. Both make names
# learnable within minutes on a CPU, which is what the demo backbone is for.
GROUND_RANGE, OBJECT_RANGE = (15.0, 100.0), (145.0, 235.0)
MAX_TILT = 0.5  # radians
MIN_SIDE, MAX_SIDE = 256, 400
EMPTY_SHARE = 0.06
MAX_OBJECTS = 9
# A later shape may cover an earlier one only so far: below this share it is not drawn at all, so
# that no picture holds an unlabelled remnant.
MIN_VISIBLE_SHARE = 0.35
MIN_INSIDE_SHARE = 0.6
MIN_VISIBLE_PIXELS = 30
PLACING_TRIALS = 20
JPEG_QUALITY = 82
_SPLIT_CODES = {"train": 0, "val": 1}
_UNIT_AREAS = unit_areas()

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Picture:
    """One drawn picture with its labels.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        boxes_xyxy: (N, 4) float32, pixels, tight around the visible part of each object.
        labels: (N,) int64, indices into `CLASS_NAMES`.
        owners: (H, W) int16, the index of the object seen at each pixel, -1 for the ground.
    """

    image: NDArray[np.uint8]
    boxes_xyxy: Floats
    labels: NDArray[np.int64]
    owners: NDArray[np.int16]

    @property
    def areas(self) -> NDArray[np.int64]:
        """Visible pixels of each object, (N,) int64: COCO's `area`."""
        return np.bincount(self.owners[self.owners >= 0], minlength=len(self.labels))


def draw_picture(
    seed: int | Sequence[int],
    size_hw: tuple[int, int] | None = None,
    min_diameter: float = MIN_DIAMETER,
    max_objects: int = MAX_OBJECTS,
) -> Picture:
    """Draw the picture of a seed.

    Args:
        seed: a non-negative integer, or several (data set, split, index); equal seeds give equal
            pictures, bit for bit.
        size_hw: height and width in pixels; by default drawn between 256 and 400.
        min_diameter: of the smallest shapes, in pixels; the largest have three quarters of the
            picture's shorter side, at most 200.
        max_objects: a picture that is not empty has 1 to so many; fewer where they find no place.
    """
    rng = np.random.default_rng(seed)
    height, width = size_hw or tuple(rng.integers(MIN_SIDE, MAX_SIDE + 1, 2).tolist())
    canvas = draw_texture(rng, height, width, _colour(rng, *GROUND_RANGE), spread=40.0)
    owners = np.full((height, width), -1, np.int16)
    labels: list[int] = []
    wanted = 0 if rng.random() < EMPTY_SHARE else int(rng.integers(1, max_objects + 1))
    for _ in range(wanted):
        label = int(rng.integers(len(CLASS_NAMES)))
        if _place(rng, canvas, owners, label, len(labels), min_diameter):
            labels.append(label)
    noise = rng.random((height, width, 1), np.float32) - 0.5
    canvas = canvas + noise * rng.uniform(0.0, 16.0)
    return Picture(
        image=np.clip(np.rint(canvas), 0, 255).astype(np.uint8),
        boxes_xyxy=_visible_boxes(owners, len(labels)),
        labels=np.asarray(labels, np.int64),
        owners=owners,
    )


def write_shapes_dataset(
    folder: str | Path, num_train: int = 64, num_val: int = 32, seed: int = 0
) -> Path:
    """Write a data set: images/{train,val}/*.jpg and annotations/{train,val}.json.

    The category ids are 0, 1, 2, ...: they are the class labels themselves.

    Returns:
        The folder.
    """
    folder = Path(folder)
    for split, count in (("train", num_train), ("val", num_val)):
        content = _write_images(folder / "images" / split, (seed, _SPLIT_CODES[split]), count)
        content["info"] = {"description": f"generated shapes, split {split}, seed {seed}"}
        annotations = folder / "annotations" / f"{split}.json"
        annotations.parent.mkdir(exist_ok=True)
        annotations.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return folder


def _write_images(folder: Path, seed: tuple[int, ...], count: int) -> dict[str, Any]:
    """Draw and write `count` pictures; return their COCO annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        picture = draw_picture((*seed, index))
        name = f"{index:06d}.jpg"
        Image.fromarray(picture.image).save(folder / name, quality=JPEG_QUALITY, optimize=True)
        height, width = picture.owners.shape
        images.append({"id": index, "file_name": name, "width": width, "height": height})
        columns = (picture.boxes_xyxy, picture.labels, picture.areas)
        for (x1, y1, x2, y2), label, area in zip(*(c.tolist() for c in columns), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes an id of 0 for "no match"
                    "image_id": index,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASS_NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _place(
    rng: np.random.Generator,
    canvas: Floats,
    owners: NDArray[np.int16],
    label: int,
    index: int,
    min_diameter: float,
) -> bool:
    """Draw one object into `canvas` and `owners`; False when no free place was found."""
    height, width = owners.shape
    largest = min(MAX_DIAMETER, 0.75 * min(height, width))
    for _ in range(PLACING_TRIALS):
        radius = 0.5 * float(np.exp(rng.uniform(np.log(min_diameter), np.log(largest))))
        coverage, rows, columns = _coverage(rng, label, radius, height, width)
        drawn = coverage > 0.5
        # The stretch of a silhouette keeps its area.
        full_area = _UNIT_AREAS[label] * radius * radius
        if not _leaves_all_visible(owners, owners[rows, columns][drawn], full_area):
            continue
        ground = canvas[rows, columns]
        colour = _colour(rng, *OBJECT_RANGE)
        texture = draw_texture(rng, drawn.shape[0], drawn.shape[1], colour, spread=40.0)
        canvas[rows, columns] = ground + (texture - ground) * coverage[..., None]
        owners[rows, columns][drawn] = index
        return True
    return False


def _coverage(
    rng: np.random.Generator, label: int, radius: float, height: int, width: int
) -> tuple[Floats, slice, slice]:
    """Anti-aliased silhouette at a random place and rotation, cut to the picture.

    Returns:
        Coverage (h, w) in 0..1, and the rows and columns of the picture that it lies on.
    """
    x, y = rng.uniform(0.0, width), rng.uniform(0.0, height)
    angle = rng.uniform(-MAX_TILT, MAX_TILT)
    stretch = float(np.exp(rng.uniform(-0.2, 0.2)))
    reach = int(np.ceil(radius * max(stretch, 1.0 / stretch))) + 2
    rows = slice(max(int(y) - reach, 0), min(int(y) + reach + 1, height))
    columns = slice(max(int(x) - reach, 0), min(int(x) + reach + 1, width))
    offset_y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5 - y
    offset_x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + 0.5 - x
    cosine, sine = np.cos(angle), np.sin(angle)
    u = (cosine * offset_x + sine * offset_y) / (radius * stretch)
    v = (cosine * offset_y - sine * offset_x) * stretch / radius
    distance = signed_distance(label, u.astype(np.float32), v.astype(np.float32)) * radius
    return np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32), rows, columns


def _leaves_all_visible(
    owners: NDArray[np.int16], covered: NDArray[np.int16], full_area: float
) -> bool:
    """Whether a new object, and every earlier one that it hides in part, stays recognisable.

    Args:
        owners: the picture so far, as in `Picture`.
        covered: (P,) the owners of the pixels that the new object would take.
        full_area: pixels of its whole silhouette, of which a part may lie outside the picture.
    """
    if len(covered) < max(MIN_INSIDE_SHARE * full_area, MIN_VISIBLE_PIXELS):
        return False
    hidden = np.bincount(covered[covered >= 0])
    for earlier in np.flatnonzero(hidden):
        # A share of what is visible now, not of the whole: that several shapes each hide a part of
        # one is rare, and the floor in pixels holds.
        visible = np.count_nonzero(owners == earlier)
        if visible - hidden[earlier] < max(MIN_VISIBLE_SHARE * visible, MIN_VISIBLE_PIXELS):
            return False
    return True


def _visible_boxes(owners: NDArray[np.int16], count: int) -> Floats:
    boxes = np.zeros((count, 4), np.float32)
    for index in range(count):
        rows, columns = np.nonzero(owners == index)
        boxes[index] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes


def _colour(rng: np.random.Generator, least: float, most: float) -> Floats:
    """A random RGB colour whose mean over the channels lies in that range."""
    mean = rng.uniform(least, most)
    tint = rng.uniform(-1.0, 1.0, 3)
    return (mean + 45.0 * (tint - tint.mean())).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a data set from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=64, metavar="N", help="training pictures")
    parser.add_argument("--val", type=int, default=32, metavar="N", help="validation pictures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    write_shapes_dataset(options.folder, options.train, options.val, options.seed)
