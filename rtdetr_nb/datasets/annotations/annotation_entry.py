"""One annotation as tools and people write them: what has a default gets it, the rest is refused.

Only annotations that are not written as COCO's own come here; see `annotation_file`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rtdetr_nb.datasets.annotations.ids import Id, id_of
from rtdetr_nb.datasets.annotations.tally import Tally
from rtdetr_nb.errors import DatasetError

MENDED = {
    "ids in quotes": "{count} annotations have ids as text (first {first}); a number in quotes is "
    "that number.",
    "numbers in quotes": "{count} numbers of annotations are texts (first {first}); they are read "
    "as numbers.",
    "no iscrowd": "{count} annotations have no iscrowd (first {first}); they are no crowds.",
    "iscrowd as text": "{count} annotations have an iscrowd that is no 0 or 1 (first {first}); "
    "true, yes and 1 are crowds; false, no, 0 and an empty text are not.",
    "no area": "{count} annotations have no area (first {first}); width times height of the box "
    "is taken.",
    "boxes of polygons": "{count} annotations have polygons and no bbox (first {first}); the box "
    "around the polygons is taken.",
    "boxes of masks": "{count} annotations have a mask and no bbox (first {first}); the box around "
    "the mask is taken.",
}
_YES, _NO = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "", "0.0"}


class AnnotationRow(NamedTuple):
    """What is kept of an annotation; the box in pixels."""

    image_id: Id
    category_id: Id
    box_xywh: tuple[float, float, float, float]
    area: float
    is_crowd: bool


def read_annotation(entry: Any, place: int, tally: Tally) -> AnnotationRow:
    """Read entry `place` of `annotations`, counting what was mended.

    Raises:
        DatasetError: it lacks what has no default, or holds what cannot be read.
    """
    if not isinstance(entry, Mapping) or not {"image_id", "category_id"} <= entry.keys():
        raise DatasetError(
            f"The annotation file {tally.where}: entry {place} of annotations is "
            f"{str(entry)[:80]}; expected an object with image_id and category_id."
        )
    name = f"annotation {entry.get('id', f'at entry {place}')}"
    image_id, category_id = (
        _read_id(entry, key, name, tally.where) for key in ("image_id", "category_id")
    )
    if isinstance(entry["image_id"], str) or isinstance(entry["category_id"], str):
        tally.add("ids in quotes", name)
    box = _read_box(entry, name, tally)
    return AnnotationRow(
        image_id,
        category_id,
        box,
        _read_area(entry, box, name, tally),
        _is_crowd(entry, name, tally),
    )


def _read_id(entry: Mapping[str, Any], key: str, name: str, where: str) -> Id:
    value = id_of(entry[key])
    if value is None:
        raise DatasetError(
            f"{where}: {name} has the {key} {entry[key]!r}; expected a number or a text."
        )
    return value


def _read_box(
    entry: Mapping[str, Any], name: str, tally: Tally
) -> tuple[float, float, float, float]:
    bbox: Any = entry.get("bbox")
    shape = entry.get("segmentation")
    if not bbox and isinstance(bbox, list | None) and shape:
        return _box_of_shape(shape, name, tally)
    try:
        x, y, width, height = [_number(value, name, tally) for value in bbox or ()]
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{tally.where}: {name} has the bbox {bbox!r}; expected four numbers, x, y, width, "
            "height in pixels."
        ) from error
    return x, y, width, height


def _number(value: Any, name: str, tally: Tally) -> float:
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    if isinstance(value, str):
        tally.add("numbers in quotes", name)
    return float(value)


def _box_of_shape(shape: Any, name: str, tally: Tally) -> tuple[float, float, float, float]:
    """The box around polygons, or around a run-length mask."""
    try:
        if isinstance(shape, Mapping):
            tally.add("boxes of masks", name)
            return _box_of_mask(shape)
        tally.add("boxes of polygons", name)
        return _box_of_polygons(shape)
    except (TypeError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{tally.where}: {name} has no bbox, and its segmentation {str(shape)[:80]} is neither "
            "polygons ([[x1, y1, x2, y2, ...], ...]) nor a mask ({'counts': ..., 'size': ...})."
        ) from error


def _box_of_polygons(shape: Sequence[Any]) -> tuple[float, float, float, float]:
    # A single polygon is often written without the list around it.
    polygons = shape if isinstance(shape[0], list) else [shape]
    numbers = [float(value) for polygon in polygons for value in polygon]
    if any(len(polygon) % 2 for polygon in polygons) or not all(map(math.isfinite, numbers)):
        raise ValueError("an odd count of coordinates")
    xs, ys = numbers[0::2], numbers[1::2]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _box_of_mask(mask: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The box around the ones of a mask: runs of zeros and ones, column by column."""
    height, width = (int(value) for value in mask["size"])
    counts = mask["counts"]
    runs = [int(run) for run in counts] if isinstance(counts, list) else _decompressed(counts)
    if height <= 0 or sum(runs) != height * width or min(runs) < 0:
        raise ValueError("the runs do not fill the mask")
    left, top, right, bottom = width, height, 0, 0
    start = 0
    for index, run in enumerate(runs):
        if index % 2 and run:
            (first, upper), (last, lower) = divmod(start, height), divmod(start + run - 1, height)
            left, right = min(left, first), max(right, last + 1)
            crosses = first != last
            top, bottom = (
                min(top, 0 if crosses else upper),
                max(bottom, height if crosses else lower + 1),
            )
        start += run
    return float(left), float(top), float(max(right - left, 0)), float(max(bottom - top, 0))


def _decompressed(text: str) -> list[int]:
    """Runs of COCO's compressed form: 6 bits a character, and differences from the third on."""
    runs: list[int] = []
    codes = iter(ord(character) - 48 for character in text)
    for code in codes:
        value, shift = code & 0x1F, 5
        while code & 0x20:
            code = next(codes, 0)
            value |= (code & 0x1F) << shift
            shift += 5
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _read_area(
    entry: Mapping[str, Any], box: tuple[float, float, float, float], name: str, tally: Tally
) -> float:
    area = entry.get("area")
    if area is None or area == "" or isinstance(area, bool):
        tally.add("no area", name)
        return box[2] * box[3]
    try:
        return _number(area, name, tally)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{tally.where}: {name} has the area {area!r}; expected a number, in square pixels, or "
            "none."
        ) from error


def _is_crowd(entry: Mapping[str, Any], name: str, tally: Tally) -> bool:
    value = entry.get("iscrowd")
    if value is None:
        tally.add("no iscrowd", name)
        return False
    if value in (0, 1) and not isinstance(value, bool):
        return bool(value)
    tally.add("iscrowd as text", name)
    word = str(value).strip().lower()
    if word not in _YES | _NO:
        raise DatasetError(f"{tally.where}: {name} has the iscrowd {value!r}; expected 0 or 1.")
    return word in _YES
