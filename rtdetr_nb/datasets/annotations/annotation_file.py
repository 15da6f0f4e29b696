"""A COCO-format annotation file to packed arrays: quickly where it is as COCO's own, else mended.

The annotations are decoded piece by piece, so that no more than a piece of them are ever Python
objects. A piece that is not written as COCO's own is read entry by entry; see `annotation_entry`.
"""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from rtdetr_nb.datasets.annotations import annotation_entry, category_entry, picture_entry
from rtdetr_nb.datasets.annotations.annotation_entry import read_annotation
from rtdetr_nb.datasets.annotations.category_entry import Category, read_categories
from rtdetr_nb.datasets.annotations.ids import Id, Places
from rtdetr_nb.datasets.annotations.json_parts import pieces, split_parts
from rtdetr_nb.datasets.annotations.json_text import not_utf8, read_json_bytes
from rtdetr_nb.datasets.annotations.label_checks import label_notes
from rtdetr_nb.datasets.annotations.labelled_pictures import Columns, LabelledPictures, pack
from rtdetr_nb.datasets.annotations.notes import first_few
from rtdetr_nb.datasets.annotations.picture_entry import (
    PictureEntry,
    decode_pictures,
    read_pictures,
)
from rtdetr_nb.datasets.annotations.tally import Tally
from rtdetr_nb.errors import DatasetError

_SENTENCES = {**picture_entry.MENDED, **category_entry.MENDED, **annotation_entry.MENDED}
_WANTED = ("images", "annotations", "categories")


class _Annotation(Struct, gc=False):
    """An annotation as COCO writes it; other keys are passed over.

    Also `id`: it means nothing. Some tools begin it anew in each picture.
    """

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: Literal[0, 1]


def read_annotation_file(path: Path) -> LabelledPictures:
    """Read a COCO-format annotation file.

    Raises:
        DatasetError: it is missing, no JSON, not in the format, lists no picture, or has an entry
            that cannot be used.
    """
    content, notes = read_json_bytes(path)
    tally = Tally(str(path))
    try:
        with _without_collecting():
            pictures, categories, boxes = _read_quickly(content, tally)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Quick reading gives up at anything odd; what it is shows a reader that takes more.
        tally = Tally(str(path))
        pictures, categories, boxes = _read_patiently(path, content, tally, error)
    del content
    if not pictures:
        raise DatasetError(f"The annotation file {path} lists no picture.")
    packed = pack(path, pictures, boxes, categories)
    notes = [*notes, *tally.notes(_SENTENCES), *label_notes(packed, len(boxes.images))]
    return replace(packed, notes=tuple(notes))


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Leave the garbage collector out: it would look again and again at what is no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_Read = tuple[list[PictureEntry], tuple[Category, ...], Columns]


def _read_quickly(content: bytes, tally: Tally) -> _Read:
    parts, array = split_parts(content)
    pictures = decode_pictures(parts.images, tally)
    categories = read_categories(msgspec.json.decode(parts.categories, type=list), tally)
    reader = _BoxReader(pictures, categories, tally)
    columns = [reader.columns(piece) for piece in pieces(array, _Annotation)]
    return pictures, categories, Columns.joined(columns)


def _read_patiently(path: Path, content: bytes, tally: Tally, reason: Exception) -> _Read:
    foreign = not_utf8(path, content)
    if foreign is not None:
        raise foreign from reason
    lists = _plain_lists(path, content)
    pictures = read_pictures(lists["images"], tally)
    categories = read_categories(lists["categories"], tally)
    return (
        pictures,
        categories,
        _BoxReader(pictures, categories, tally).columns(lists["annotations"]),
    )


def _plain_lists(path: Path, content: bytes) -> dict[str, list[Any]]:
    """The lists of a file by Python's own reader, which also takes NaN, as Python writes it."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"The annotation file {path} is no JSON ({error}). Is it whole? Expected a COCO-format "
            "object with images, annotations and categories."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(found.get(k), list) for k in _WANTED):
        kinds = first_few(sorted(found), 12) if isinstance(found, dict) else type(found).__name__
        raise DatasetError(
            f"The annotation file {path} is not in COCO's format: found {kinds}; expected an "
            "object with the lists images, annotations and categories."
        )
    return found


class _BoxReader:
    """Annotations to columns, by the listed pictures and categories."""

    def __init__(
        self, pictures: Sequence[PictureEntry], categories: Sequence[Category], tally: Tally
    ) -> None:
        self._pictures = Places([picture.id for picture in pictures])
        self._categories = Places([category.id for category in categories])
        self._tally = tally
        self._read = 0  # entries before the piece at hand

    def columns(self, piece: Sequence[Any]) -> Columns:
        """One piece of the annotations, decoded or as plain JSON values."""
        if piece and isinstance(piece[0], _Annotation):
            rows: Sequence[Any] = piece
            boxes = chain.from_iterable([row.bbox for row in rows])
            crowds = [row.iscrowd for row in rows]
        else:
            rows = [
                read_annotation(entry, place, self._tally)
                for place, entry in enumerate(piece, start=self._read)
            ]
            boxes = chain.from_iterable([row.box_xywh for row in rows])
            crowds = [row.is_crowd for row in rows]
        self._read += len(piece)
        count = len(rows)
        return Columns(
            images=self._pictures.of([row.image_id for row in rows]),
            categories=self._category_places([row.category_id for row in rows]),
            boxes_xywh=np.fromiter(boxes, float, 4 * count).reshape(-1, 4),
            areas=np.array([row.area for row in rows], float),
            crowds=np.array(crowds, bool),
        )

    def _category_places(self, ids: list[Id]) -> np.ndarray:
        places = self._categories.of(ids)
        if places.size and places.min() < 0:
            unknown = ids[int(places.argmin())]
            raise DatasetError(
                f"{self._tally.where}: annotations have the category id {unknown!r}, which its "
                f"`categories` do not list ({first_few(self._categories.ids, 12)}). Add the "
                "category or correct the annotations."
            )
        return places
