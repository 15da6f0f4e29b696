"""One split of a data set: pictures with boxes and labels, ready to train or evaluate on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rtdetr_nb.datasets.annotations.ids import Id
from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures
from rtdetr_nb.datasets.annotations.labels import LabelRule
from rtdetr_nb.datasets.annotations.notes import FAILURE, DataNote
from rtdetr_nb.datasets.annotations.packed_texts import PackedTexts
from rtdetr_nb.datasets.pictures.picture_headers import header_notes
from rtdetr_nb.datasets.pictures.picture_names import find_pictures
from rtdetr_nb.errors import DatasetError

if TYPE_CHECKING:
    from rtdetr_nb.datasets.evaluation import Evaluation

# Headers of so many files are looked at when a split is opened: in a fraction of a second.
_HEADERS = 512


class PictureBoxes(NamedTuple):
    """The boxes of one picture, as annotated: xywh in pixels (N, 4), labels, areas, crowds (N,)."""

    boxes_xywh: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures with boxes.

    Attributes:
        name: "train" or "val".
        folder: that the paths of the pictures are relative to.
        pictures: what the annotation files say, packed.
        paths: of the picture files, below `folder`.
        rule: how category ids become labels.
        labels: of each box of `pictures`, int32; -1 for a category without one.
        notes: what was mended, what may spoil a run and what stops it.
        missing: places of pictures that there is no file for.
    """

    name: str
    folder: Path
    pictures: LabelledPictures
    paths: PackedTexts
    rule: LabelRule
    labels: np.ndarray
    notes: tuple[DataNote, ...] = ()
    missing: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, folder: Path, pictures: LabelledPictures, rule: LabelRule) -> "Split":
        """Find the picture files of annotations, and number the classes."""
        found = find_pictures(folder, pictures.names, pictures.source)
        label_of = np.array([rule.label(c.id) for c in pictures.categories], np.int64)
        labels = label_of[pictures.boxes.categories] if len(label_of) else np.empty(0, np.int64)
        split = cls(
            name=name,
            folder=folder,
            pictures=pictures,
            paths=found.paths,
            rule=rule,
            labels=np.clip(labels, -1, np.iinfo(np.int32).max).astype(np.int32),
            notes=(*pictures.notes, *found.notes),
            missing=found.missing,
        )
        return replace(split, notes=(*split.notes, *split._look_at_headers()))

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def source(self) -> Path:
        """The annotation file, or the folder of annotation files."""
        return self.pictures.source

    @property
    def num_boxes(self) -> int:
        """Annotated boxes of the pictures, crowds included."""
        return len(self.labels)

    @property
    def classes(self) -> dict[int, str]:
        """Name of each label that the annotations have a category for, in the order of labels."""
        names = ((self.rule.label(c.id), c.name) for c in self.pictures.categories)
        return dict(sorted((label, name) for label, name in names if label >= 0))

    def image_path(self, index: int) -> Path:
        """The file of a picture."""
        return self.folder / self.paths[index]

    def image_id(self, index: int) -> Id:
        """The id of a picture as its annotation file has it."""
        given = self.pictures.given_ids
        return int(self.pictures.image_ids[index]) if given is None else given[index]

    def listed_size_wh(self, index: int) -> tuple[int, int] | None:
        """Listed width and height of a picture in pixels; None if they are not listed."""
        width, height = self.pictures.sizes_wh[index].tolist()
        return (width, height) if width > 0 else None

    def boxes(self, index: int) -> PictureBoxes:
        """The boxes of a picture, as annotated."""
        rows, columns = self.pictures.rows(index), self.pictures.boxes
        return PictureBoxes(
            columns.boxes_xywh[rows], self.labels[rows], columns.areas[rows], columns.crowds[rows]
        )

    def subset(self, indices: np.ndarray) -> "Split":
        """The pictures at these indices, in their order."""
        pictures = self.pictures.subset(indices)
        places = [np.arange(*self.pictures.rows(int(i)).indices(self.num_boxes)) for i in indices]
        rows = np.concatenate(places) if places else np.empty(0, np.int64)
        return replace(
            self,
            pictures=pictures,
            paths=self.paths.take(indices),
            labels=self.labels[rows],
            missing=tuple(np.flatnonzero(np.isin(indices, self.missing)).tolist()),
        )

    def evenly(self, count: int) -> "Split":
        """At most `count` of the pictures, at equal distances in their order."""
        if count >= len(self):
            return self
        return self.subset(np.linspace(0, len(self) - 1, count).astype(int))

    def check_usable(self) -> None:
        """Refuse what no run can use.

        Raises:
            DatasetError: pictures are missing, or no box can be used.
        """
        for note in self.notes:
            if note.level == FAILURE:
                raise DatasetError(str(note))

    def evaluate(self, results: Sequence[Mapping[str, Any]]) -> "Evaluation":
        """Average precision of detections on all pictures, as COCO defines it.

        Args:
            results: in COCO's format: `image_id` and `category_id` as the annotation files have
                them, `bbox` (x, y, width, height in pixels of the picture) and `score`. For layouts
                without ids these are `image_id(i)` and the label.

        Raises:
            DatasetError: a result has an id that the split does not have, or lacks a key.
        """
        from rtdetr_nb.datasets.evaluation import evaluate_results

        return evaluate_results(self, results)

    @property
    def truth(self) -> list[dict[str, Any]]:
        """The annotated boxes, crowds left out, as results that `evaluate` takes."""
        columns = self.pictures.boxes
        names = [category.id for category in self.pictures.categories]
        rows = zip(
            columns.images.tolist(),
            columns.categories.tolist(),
            columns.boxes_xywh.tolist(),
            columns.crowds.tolist(),
            strict=True,
        )
        return [
            {"image_id": self.image_id(i), "category_id": names[c], "bbox": box, "score": 1.0}
            for i, c, box, is_crowd in rows
            if not is_crowd
        ]

    def _look_at_headers(self) -> list[DataNote]:
        indices = np.setdiff1d(np.arange(len(self)), self.missing)
        if len(indices) > _HEADERS:
            indices = indices[np.linspace(0, len(indices) - 1, _HEADERS).astype(int)]
        paths = [self.image_path(int(index)) for index in indices]
        return header_notes(paths, self.pictures.sizes_wh[indices], str(self.source), len(self))

    def __repr__(self) -> str:
        return (
            f"Split({self.name}: {len(self):,} pictures, {self.num_boxes:,} boxes of "
            f"{len(self.classes)} classes, {os.fspath(self.source)})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"
