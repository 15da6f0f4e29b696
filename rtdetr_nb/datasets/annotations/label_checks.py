"""Whether boxes lie in their pictures, and what those that do not look like."""

from collections.abc import Iterator

import numpy as np

from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures
from rtdetr_nb.datasets.annotations.notes import FAILURE, NOTE, WARNING, DataNote
from rtdetr_nb.text.plain_text import counted

# Shares of all boxes. Sound sets have a few odd boxes; of a wrong format all are.
_MOST = 0.9
_MANY = 0.2
_ALL = 0.99
ROUNDING = 1.5  # pixels by which a sound box may hang over
PIXEL = 0.99  # a box of a pixel, with what arithmetic takes off it
_COUNTED_BY_COCO = 100  # detections of a picture


def label_notes(pictures: LabelledPictures, annotated: int) -> list[DataNote]:
    """What is wrong with the boxes, seen from their numbers alone.

    Args:
        pictures: with the boxes of listed pictures.
        annotated: boxes in the file, also of pictures that it does not list.
    """
    return [*_usability(pictures, annotated), *_formats(pictures), *_crowding(pictures)]


def _usability(pictures: LabelledPictures, annotated: int) -> Iterator[DataNote]:
    """Boxes of a listed picture, inside it, of at least a pixel; one note for what is missing."""
    where = str(pictures.source)
    listed = len(pictures.boxes.areas)
    smallest = np.minimum(*_visible_sizes(pictures))
    inside = int(np.count_nonzero(smallest > 0))
    usable = int(np.count_nonzero(smallest >= PIXEL))
    facts = (
        f"Of {counted(annotated, 'annotation')} {listed:,} are of a listed picture, "
        f"{inside:,} of those lie inside it, {usable:,} of those have at least a "
        "pixel"
    )
    if annotated and usable < annotated / 2:
        yield DataNote(
            kind="few usable boxes",
            level=WARNING if usable else FAILURE,
            what=f"{facts}.",
            where=where,
            why=_likely_cause(pictures, annotated),
            count=annotated - usable,
        )
    elif annotated > listed:
        yield DataNote(
            "unlisted pictures", NOTE,
            f"{counted(annotated - listed, 'annotation')} belong to pictures that the file does "
            "not list; they are left out.", where, count=annotated - listed,
        )  # fmt: skip
    without_size = int(np.count_nonzero(~has_size(pictures)))
    if without_size:
        yield DataNote(
            "boxes without size", NOTE,
            f"{counted(without_size, 'box', 'boxes')} of {listed:,} have no width or height, or "
            "numbers that are not finite; they are left out.",
            where, count=without_size, official=False,
        )  # fmt: skip


def _likely_cause(pictures: LabelledPictures, annotated: int) -> str:
    if len(pictures.boxes.areas) < annotated / 2:
        return "The image ids of the annotations do not match those of the pictures."
    if _look_like_fractions(pictures):
        return (
            "The boxes look like fractions of the picture; COCO-format has pixels. Multiply x and "
            "width by the picture's width, y and height by its height."
        )
    return "Are the boxes x, y, width, height in pixels of the listed size?"


def _formats(pictures: LabelledPictures) -> Iterator[DataNote]:
    """Boxes that seem to be corners, or fractions, though enough of them could be used."""
    share = _share_of_corners(pictures)
    if share:
        yield DataNote(
            kind="boxes as corners",
            level=WARNING,
            what=f"{share:.0%} of the boxes reach out of their picture as x, y, width, height, and "
            "all would fit as two corners, x1, y1, x2, y2.",
            where=str(pictures.source),
            why="COCO-format has widths and heights; taken as they are, the boxes are too large.",
            action="Subtract the first two numbers from the last two.",
            count=len(pictures.boxes.areas),
        )


def _share_of_corners(pictures: LabelledPictures) -> float:
    """The share of boxes that hang over, where all would fit as corners; else 0."""
    x, y, width, height = pictures.boxes.boxes_xywh.T
    right, bottom = picture_limits(pictures) + ROUNDING
    hang_over = ((x + width > right) | (y + height > bottom)).mean() if len(x) else 0.0
    if hang_over < _MANY:
        return 0.0
    fit = (width > x) & (height > y) & (width <= right) & (height <= bottom)
    return float(hang_over) if fit.mean() > _ALL else 0.0


def _look_like_fractions(pictures: LabelledPictures) -> bool:
    boxes = pictures.boxes.boxes_xywh
    return bool(len(boxes)) and bool(((boxes >= 0) & (boxes <= 1.01)).all(axis=1).mean() > _MOST)


def _crowding(pictures: LabelledPictures) -> Iterator[DataNote]:
    counts = np.diff(pictures.starts)
    crowded = int(np.count_nonzero(counts > _COUNTED_BY_COCO))
    if crowded:
        most = int(counts.argmax())
        yield DataNote(
            kind="many boxes in a picture",
            level=NOTE,
            what=f"{counted(crowded, 'picture')} have more than {_COUNTED_BY_COCO} boxes, the most "
            f"{pictures.names[most]} with {counts[most]:,}.",
            where=str(pictures.source),
            why=f"COCO's AP counts {_COUNTED_BY_COCO} detections of a picture and stays below 1.",
            count=crowded,
        )


def picture_limits(pictures: LabelledPictures) -> np.ndarray:
    """Width and height of the picture of each box, (2, N); infinite where it is not listed."""
    sizes = pictures.sizes_wh.T.astype(np.float32)
    sizes[sizes <= 0] = np.inf
    return np.take(sizes, pictures.boxes.images, axis=1)


def has_size(pictures: LabelledPictures) -> np.ndarray:
    """Whether each box has finite numbers and a width and height above 0, (N,) bool."""
    x, y, width, height = pictures.boxes.boxes_xywh.T
    # A sum with what is not finite is not finite either.
    return np.isfinite(x + y + width + height) & (width > 0) & (height > 0)


def _visible_sizes(pictures: LabelledPictures) -> tuple[np.ndarray, np.ndarray]:
    """Width and height (N,) of what of a box lies inside its picture; 0 where nothing does."""
    x, y, width, height = pictures.boxes.boxes_xywh.T.astype(np.float32)
    right, bottom = picture_limits(pictures)
    with np.errstate(invalid="ignore"):
        sides = (
            np.minimum(x + width, right) - np.maximum(x, 0),
            np.minimum(y + height, bottom) - np.maximum(y, 0),
        )
    for side in sides:
        side[~(side > 0)] = 0  # also what is no number
    return sides
