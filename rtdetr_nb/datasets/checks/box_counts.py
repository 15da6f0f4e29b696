"""Boxes of one split in figures: of each class, of each size, and those that look wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtdetr_nb.datasets.annotations.label_checks import (
    PIXEL,
    ROUNDING,
    has_size,
    picture_limits,
)
from rtdetr_nb.datasets.split import Split

# COCO's own limits of small and medium boxes, in square pixels of the picture.
SMALL, MEDIUM = 32**2, 96**2


@dataclass(frozen=True)
class ClassCount:
    """One class in one split.

    Attributes:
        boxes: that are not crowds and have a size.
        pictures: that have such a box.
        small, medium, large: shares of the boxes by COCO's limits of area, 0 to 1.
        median_side: of the square root of the area, in pixels; not a number without boxes.
    """

    boxes: int
    pictures: int
    small: float
    medium: float
    large: float
    median_side: float


@dataclass(frozen=True)
class BoxCounts:
    """Boxes of one split that deserve a look.

    Attributes:
        without_size: no width or height, or numbers that are not finite; no run uses them.
        outside: with a size, and wholly outside of their picture.
        hanging_over: partly outside of it, by more than rounding; they are clipped.
        tiny: less than a pixel wide or high inside of the picture.
        doubled: the same picture, class and box as an earlier one.
        crowds: marked as a crowd; neither trained on nor counted in the evaluation.
    """

    without_size: int
    outside: int
    hanging_over: int
    tiny: int
    doubled: int
    crowds: int


def usable_boxes(split: Split) -> np.ndarray:
    """Whether a run can use each box: it has a size and a label and is no crowd, (N,) bool."""
    return has_size(split.pictures) & ~split.pictures.boxes.crowds & (split.labels >= 0)


def count_classes(split: Split) -> dict[int, ClassCount]:
    """Count the usable boxes of every label that the split has a class for."""
    usable = usable_boxes(split)
    columns = split.pictures.boxes
    labels = split.labels[usable]
    order = np.argsort(labels, kind="stable")
    areas = (columns.boxes_xywh[usable, 2] * columns.boxes_xywh[usable, 3])[order]
    images = columns.images[usable][order]
    starts = np.searchsorted(labels[order], [*split.classes, np.iinfo(np.int32).max])
    return {
        label: _count(images[first:last], areas[first:last])
        for label, first, last in zip(split.classes, starts, starts[1:], strict=False)
    }


def _count(images: np.ndarray, areas: np.ndarray) -> ClassCount:
    """Of the boxes of one class, whose pictures are in order."""
    total = max(1, len(areas))
    small = np.count_nonzero(areas < SMALL) / total
    large = np.count_nonzero(areas >= MEDIUM) / total
    return ClassCount(
        boxes=len(areas),
        pictures=int(np.count_nonzero(np.diff(images))) + bool(len(images)),
        small=small,
        medium=1 - small - large if len(areas) else 0.0,
        large=large,
        median_side=float(np.sqrt(np.median(areas))) if len(areas) else float("nan"),
    )


def count_odd_boxes(split: Split) -> BoxCounts:
    """Count the boxes of a split that deserve a look."""
    columns = split.pictures.boxes
    sized = has_size(split.pictures)
    x, y, width, height = columns.boxes_xywh[sized].T
    right, bottom = picture_limits(split.pictures)[:, sized]
    inner_width = np.minimum(x + width, right) - np.maximum(x, 0)
    inner_height = np.minimum(y + height, bottom) - np.maximum(y, 0)
    outside = (inner_width <= 0) | (inner_height <= 0)
    over = np.maximum.reduce([-x, -y, x + width - right, y + height - bottom]) > ROUNDING
    tiny = ~outside & (np.minimum(inner_width, inner_height) < PIXEL)
    return BoxCounts(
        without_size=int(np.count_nonzero(~sized)),
        outside=int(np.count_nonzero(outside)),
        hanging_over=int(np.count_nonzero(over & ~outside)),
        tiny=int(np.count_nonzero(tiny)),
        doubled=_count_doubled(split, sized),
        crowds=int(np.count_nonzero(columns.crowds)),
    )


def _count_doubled(split: Split, sized: np.ndarray) -> int:
    columns = split.pictures.boxes
    keys = np.column_stack([columns.images, split.labels, columns.boxes_xywh])[sized]
    alike = keys[_shares_its_hash(keys)]
    return len(alike) - len(np.unique(alike, axis=0)) if len(alike) else 0


def _shares_its_hash(rows: np.ndarray) -> np.ndarray:
    """Whether another row (N, K) may be equal, (N,) bool: rows are slow to sort, numbers quick."""
    bits = np.ascontiguousarray(rows + 0.0, np.float64).view(np.uint64)  # -0.0 is 0.0
    hashes = np.zeros(len(rows), np.uint64)
    for column in bits.T:
        hashes = (hashes ^ column) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    _, places, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return counts[places] > 1
