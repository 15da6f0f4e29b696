"""Which pictures are learnt by heart: a few that a sound training can learn in a minute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtdetr_nb.datasets.pictures.picture_headers import read_header
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import DatasetError

SMALLEST_SIDE = 1 / 16  # of the picture's: 10 pixels at 160
MOST_BOXES = 12
_INSIDE = 0.95  # share of a box that lies in its picture, at least
_LOOKED_AT = 512  # pictures with boxes, spread evenly


@dataclass(frozen=True)
class ChosenPicture:
    """A picture of a split, and what makes it easy or hard to learn.

    Attributes:
        index: in the split.
        boxes: usable ones.
        smallest_side: the shortest side of a box over that side of the picture, in 0..1.
        cut: boxes that reach beyond the edge of the picture by more than a twentieth.
    """

    index: int
    boxes: int
    smallest_side: float
    cut: int = 0

    @property
    def hardness(self) -> tuple[bool, ...]:
        """What makes it a poor choice, the worst first.

        Boxes that are cut off, that are small, that are many, and a single box.
        """
        is_small = self.smallest_side < SMALLEST_SIDE
        return self.cut > 0, is_small, self.boxes > MOST_BOXES, self.boxes < 2


def choose_pictures_to_learn(split: Split, count: int) -> list[ChosenPicture]:
    """Choose pictures with a few boxes that are large enough; the same ones each time.

    Pictures with crowds are left out. Where there are not enough easy ones, the least hard follow.

    Raises:
        DatasetError: no picture has a box that can be used.
    """
    usable = _usable_boxes(split)
    counts = np.bincount(split.pictures.boxes.images[usable], minlength=len(split))
    crowds = split.pictures.boxes.images[split.pictures.boxes.crowds]
    counts[crowds] = 0
    counts[list(split.missing)] = 0
    candidates = np.flatnonzero(counts)
    if not len(candidates):
        raise DatasetError(
            f"No picture of {split.source} has a box that can be learnt, crowds left out. Check "
            "the data set with check_data."
        )
    if len(candidates) > _LOOKED_AT:
        candidates = candidates[np.linspace(0, len(candidates) - 1, _LOOKED_AT).astype(int)]
    found = [_look_at(split, int(index), int(counts[index])) for index in candidates]
    best = sorted(found, key=lambda picture: picture.hardness)[:count]
    return sorted(best, key=lambda picture: picture.index)


def _usable_boxes(split: Split) -> np.ndarray:
    columns = split.pictures.boxes
    has_size = (columns.boxes_xywh[:, 2:] > 0).all(axis=1)
    return has_size & ~columns.crowds & (split.labels >= 0)


def _look_at(split: Split, index: int, count: int) -> ChosenPicture:
    listed = split.listed_size_wh(index)
    header = None if listed else read_header(split.image_path(index), None)
    size_wh = listed or (header.size_wh if header else None)
    if size_wh is None:  # a broken file: the last to be chosen
        return ChosenPicture(index, count, 0.0)
    own = split.boxes(index)
    boxes = own.boxes_xywh[(own.labels >= 0) & (own.boxes_xywh[:, 2:] > 0).all(axis=1)]
    first, size = boxes[:, :2], np.asarray(size_wh, dtype=float)
    last = first + boxes[:, 2:]
    inside = np.maximum(np.minimum(last, size) - np.maximum(first, 0), 0).prod(axis=1)
    cut = int((inside < _INSIDE * boxes[:, 2:].prod(axis=1)).sum())
    return ChosenPicture(index, count, float((boxes[:, 2:] / size).min()), cut)
