"""The pictures of one split with their boxes, packed into arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtdetr_nb.datasets.annotations.category_entry import Category
from rtdetr_nb.datasets.annotations.ids import Id, are_numbers
from rtdetr_nb.datasets.annotations.notes import DataNote
from rtdetr_nb.datasets.annotations.packed_texts import PackedTexts
from rtdetr_nb.datasets.annotations.picture_entry import PictureEntry


class Columns(NamedTuple):
    """Annotations as arrays of one length N.

    Attributes:
        images: places in a list of pictures, int32; -1 for one that is not listed.
        categories: places in a list of categories, int32.
        boxes_xywh: (N, 4) float64, in pixels, as annotated.
        areas: float64, in square pixels, as annotated.
        crowds: bool.
    """

    images: np.ndarray
    categories: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray

    @classmethod
    def joined(cls, pieces: Sequence["Columns"]) -> "Columns":
        """Several pieces as one."""
        if not pieces:
            none = np.empty(0, np.int32)
            return cls(none, none, np.empty((0, 4)), np.empty(0), np.empty(0, bool))
        return cls(*(np.concatenate(column) for column in zip(*pieces, strict=True)))

    def taken(self, places: np.ndarray) -> "Columns":
        """The annotations at these places."""
        return Columns(*(np.take(column, places, axis=0) for column in self))


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """P pictures and their N boxes, sorted by picture, as a file or folder has them.

    No array is ever changed: data workers share them with the process that made them.

    Attributes:
        source: the annotation file, or the folder of annotation files.
        image_ids: (P,) int64.
        given_ids: the ids as the file has them, where they are no numbers; else None.
        names: of the picture files, as the source has them.
        sizes_wh: (P, 2) int32, in pixels; 0 where the source does not say.
        starts: (P + 1,) int64; the boxes of picture i are those from starts[i] to starts[i + 1].
        boxes: the columns of the boxes; `images` are places in `image_ids`.
        categories: what the numbers in `boxes.categories` are places in.
        notes: what was mended.
    """

    source: Path
    image_ids: np.ndarray
    given_ids: PackedTexts | None
    names: PackedTexts
    sizes_wh: np.ndarray
    starts: np.ndarray
    boxes: Columns
    categories: tuple[Category, ...]
    notes: tuple[DataNote, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows(self, index: int) -> slice:
        """Where the boxes of a picture are."""
        return slice(int(self.starts[index]), int(self.starts[index + 1]))

    def subset(self, indices: np.ndarray) -> "LabelledPictures":
        """The pictures at these indices, in their order, with their boxes."""
        rows = [self.rows(int(index)) for index in indices]
        pieces = [np.arange(each.start, each.stop) for each in rows]
        places = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
        counts = [len(piece) for piece in pieces]
        boxes = self.boxes.taken(places)
        images = np.repeat(np.arange(len(indices), dtype=np.int32), counts)
        return replace(
            self,
            image_ids=self.image_ids[indices],
            given_ids=self.given_ids and self.given_ids.take(indices),
            names=self.names.take(indices),
            sizes_wh=self.sizes_wh[indices],
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            boxes=boxes._replace(images=images),
        )


def pack(
    source: Path,
    pictures: Sequence[PictureEntry],
    boxes: Columns,
    categories: tuple[Category, ...],
    notes: Iterable[DataNote] = (),
) -> LabelledPictures:
    """Sort pictures by id, where all ids are numbers, and boxes by picture.

    Args:
        source: what the annotations were read from.
        pictures: listed pictures, each id once.
        boxes: `images` are places in `pictures`; boxes of unlisted pictures are left out.
        categories: what `boxes.categories` are places in.
        notes: what was mended.
    """
    ids: list[Id] = [picture.id for picture in pictures]
    order = np.arange(len(ids))
    given_ids = None
    if are_numbers(ids):
        image_ids = np.array(ids, np.int64)
        order = np.argsort(image_ids, kind="stable")
        image_ids = image_ids[order]
    else:
        image_ids = np.arange(1, len(ids) + 1)
        given_ids = PackedTexts.of(map(str, ids))
    place_of = np.empty(len(ids) + 1, np.int32)  # the last is that of -1
    place_of[order], place_of[-1] = np.arange(len(ids), dtype=np.int32), -1
    packed = boxes._replace(images=place_of[boxes.images])
    by_picture = np.argsort(packed.images, kind="stable")
    packed = packed.taken(by_picture[np.count_nonzero(packed.images < 0) :])
    return LabelledPictures(
        source=source,
        image_ids=image_ids,
        given_ids=given_ids,
        names=PackedTexts.of([pictures[place].name for place in order.tolist()]),
        sizes_wh=_sizes(pictures)[order],
        starts=np.searchsorted(packed.images, np.arange(len(ids) + 1, dtype=np.int32)),
        boxes=packed,
        categories=categories,
        notes=tuple(notes),
    )


def _sizes(pictures: Sequence[PictureEntry]) -> np.ndarray:
    """(P, 2) width and height; what no picture can have is 0, as if it were not said."""
    sides = ([p.width for p in pictures], [p.height for p in pictures])
    width, height = (np.array(side, np.float64) for side in sides)
    largest = np.iinfo(np.int32).max
    is_said = (np.minimum(width, height) > 0) & (np.maximum(width, height) <= largest)
    return (np.stack([width, height], axis=1) * is_said[:, None]).astype(np.int32)
