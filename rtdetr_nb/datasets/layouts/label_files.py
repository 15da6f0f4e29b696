"""Labels that lie in one small file a picture: read together, into packed arrays."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from rtdetr_nb.datasets.annotations.category_entry import Category
from rtdetr_nb.datasets.annotations.label_checks import label_notes
from rtdetr_nb.datasets.annotations.labelled_pictures import Columns, LabelledPictures, pack
from rtdetr_nb.datasets.annotations.notes import DataNote
from rtdetr_nb.datasets.annotations.picture_entry import PictureEntry

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 8  # small files: waiting for the disk is most of it


@dataclass(frozen=True)
class PictureLabels:
    """What the label file of a picture says.

    Attributes:
        name: of the picture file, relative to the folder of pictures.
        size_wh: width and height that the boxes are for, in pixels; 0 where they are not known.
        classes: places in the list of classes, one a box.
        boxes_xywh: (N, 4), in pixels.
    """

    name: str
    size_wh: tuple[int, int]
    classes: Sequence[int]
    boxes_xywh: np.ndarray


def each_of(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The function's results for all items, in their order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items, chunksize=64))


def pack_labels(
    source: Path,
    labels: Sequence[PictureLabels],
    names: Sequence[str],
    notes: Iterable[DataNote] = (),
) -> LabelledPictures:
    """Pack the labels of a split; pictures are numbered from 1, in the order given.

    Args:
        source: folder of the label files.
        labels: of each picture.
        names: of the classes.
        notes: what was mended.
    """
    pictures = [
        PictureEntry(number, each.name, *each.size_wh)
        for number, each in enumerate(labels, start=1)
    ]
    counts = [len(each.classes) for each in labels]
    boxes = np.concatenate([np.empty((0, 4)), *(each.boxes_xywh for each in labels)])
    columns = Columns(
        images=np.repeat(np.arange(len(labels), dtype=np.int32), counts),
        categories=np.array([place for each in labels for place in each.classes], np.int32),
        boxes_xywh=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowds=np.zeros(len(boxes), bool),
    )
    categories = tuple(Category(place, name) for place, name in enumerate(names))
    packed = pack(source, pictures, columns, categories)
    told = (*notes, *label_notes(packed, len(boxes)))
    return LabelledPictures(**{**vars(packed), "notes": told})
