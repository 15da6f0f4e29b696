"""What a check can find in a data set, beyond what opening it tells; one function a finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtdetr_nb.datasets.annotations.notes import FAILURE, NOTE, WARNING, DataNote
from rtdetr_nb.datasets.checks.box_counts import BoxCounts, ClassCount
from rtdetr_nb.datasets.checks.decoding import BrokenPicture
from rtdetr_nb.datasets.crowding import crowding_note
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

_RARE = 10  # boxes: with fewer a class can hardly be learned
_ENOUGH = 50  # boxes of a split, before its shares mean anything
_OTHER_MIX = 0.5  # total variation distance of the classes' shares, 0 to 1
_OTHER_SIZE = 2.0  # factor between the median sides of the boxes
_MANY_EMPTY = 0.5  # share of the pictures
_MANY_DOUBLED = 0.01  # share of the boxes


@dataclass(frozen=True)
class Looked:
    """All that was counted in a data set.

    Attributes:
        source: the data set.
        num_queries, num_denoising: of the decoder that is to be trained.
        classes: by split, what each label has.
        odd: by split, the boxes that deserve a look.
        broken: pictures that cannot be decoded.
        twins: groups of picture files with the same bytes.
    """

    source: DataSource
    num_queries: int
    num_denoising: int
    classes: dict[str, dict[int, ClassCount]]
    odd: dict[str, BoxCounts]
    broken: Sequence[BrokenPicture]
    twins: Sequence[Sequence[Path]]

    @property
    def splits(self) -> tuple[Split, Split]:
        """Train and val."""
        return self.source.train, self.source.val

    def num_boxes(self, split: str) -> dict[int, int]:
        """Usable boxes of each label."""
        return {label: count.boxes for label, count in self.classes[split].items()}


def find_all(looked: Looked) -> list[DataNote]:
    """Return every finding, those of opening the data set first."""
    found = [note for finding in FINDINGS for note in finding(looked)]
    return [*looked.source.notes, *found]


def _broken(looked: Looked) -> Iterator[DataNote]:
    if looked.broken:
        names = [f"{each.path} ({each.reason})" for each in looked.broken]
        yield DataNote(
            "broken pictures",
            FAILURE,
            f"{counted(len(names), 'picture')} cannot be decoded: {first_of(names)}.",
            looked.source.layout,
            "A run ends at the first of them, whenever it comes.",
            "Replace the files, or remove their entries.",
            len(names),
        )


def _in_both_splits(looked: Looked) -> Iterator[DataNote]:
    of_val = {looked.source.val.image_path(i) for i in range(len(looked.source.val))}
    shared = [group for group in looked.twins if 0 < sum(p in of_val for p in group) < len(group)]
    if shared:
        pairs = [f"{group[0]} and {group[-1]}" for group in shared]
        yield DataNote(
            "pictures in both splits",
            WARNING,
            f"{counted(len(shared), 'picture')} of val {'is' if len(shared) == 1 else 'are'} in "
            f"train too, byte for byte: {first_of(pairs, 2)}.",
            str(looked.source.val.source),
            "The evaluation then measures what was learned by heart.",
            "Remove them from one of the splits.",
            len(shared),
        )


def _twice(looked: Looked) -> Iterator[DataNote]:
    for split in looked.splits:
        own = {split.image_path(index) for index in range(len(split))}
        groups = [[p for p in group if p in own] for group in looked.twins]
        again = [group for group in groups if len(group) > 1]
        if again:
            pairs = [f"{group[0].name} and {group[1].name}" for group in again]
            yield DataNote(
                "pictures twice",
                NOTE,
                f"Of {split.name}, {counted(len(again), 'picture')} stand there more than once, "
                f"byte for byte: {first_of(pairs, 2)}.",
                str(split.source),
                "They count more than once, and their boxes may contradict each other.",
                count=len(again),
            )


def _boxes_outside(looked: Looked) -> Iterator[DataNote]:
    for split in looked.splits:
        count = looked.odd[split.name].outside
        if count:
            yield DataNote(
                "boxes outside",
                WARNING,
                f"{counted(count, 'box', 'boxes')} of {split.name} lie wholly outside of their "
                "picture; they are left out.",
                str(split.source),
                "They may belong to another picture, or to one of another size.",
                "Look at them with rt.show_batch.",
                count,
            )


def _tiny_boxes(looked: Looked) -> Iterator[DataNote]:
    for split in looked.splits:
        count = looked.odd[split.name].tiny
        if count:
            yield DataNote(
                "tiny boxes",
                NOTE,
                f"{counted(count, 'box', 'boxes')} of {split.name} are less than a pixel wide or "
                "high inside of their picture.",
                str(split.source),
                "No detector finds them.",
                count=count,
            )


def _doubled_boxes(looked: Looked) -> Iterator[DataNote]:
    for split in looked.splits:
        count = looked.odd[split.name].doubled
        if count:
            many = count > _MANY_DOUBLED * split.num_boxes
            yield DataNote(
                "doubled boxes",
                WARNING if many else NOTE,
                f"{counted(count, 'box', 'boxes')} of {split.name} stand twice: the same picture, "
                "class and place.",
                str(split.source),
                "Each is a missed object in the evaluation, since one detection answers one box.",
                "Remove the second of each.",
                count,
            )


def _classes_without_boxes(looked: Looked) -> Iterator[DataNote]:
    train, val = (looked.num_boxes(split.name) for split in looked.splits)
    names = {**looked.source.val.classes, **looked.source.train.classes}
    empty = [name for label, name in names.items() if not train.get(label) and not val.get(label)]
    if empty:
        yield DataNote(
            "classes without boxes",
            NOTE,
            f"{counted(len(empty), 'class', 'classes')} of {len(names)} have no box in either "
            f"split: {first_of(empty)}.",
            str(looked.source.train.source),
            "The class head has rows for them that nothing trains; this does no harm.",
            count=len(empty),
        )


def _classes_in_one_split(looked: Looked) -> Iterator[DataNote]:
    train, val = (looked.num_boxes(split.name) for split in looked.splits)
    names = {**looked.source.val.classes, **looked.source.train.classes}
    untrained = [names[label] for label, boxes in val.items() if boxes and not train.get(label)]
    unseen = [names[label] for label, boxes in train.items() if boxes and not val.get(label)]
    if untrained:
        yield DataNote(
            "classes that are not trained",
            WARNING,
            f"{counted(len(untrained), 'class', 'classes')} have boxes in val and none in train: "
            f"{first_of(untrained)}.",
            str(looked.source.val.source),
            "Their average precision stays 0, and lowers the mean.",
            "Move pictures of them to train.",
            len(untrained),
        )
    if unseen:
        yield DataNote(
            "classes that are not evaluated",
            NOTE,
            f"{counted(len(unseen), 'class', 'classes')} have boxes in train and none in val: "
            f"{first_of(unseen)}.",
            str(looked.source.val.source),
            "Nothing measures how well they are found.",
            count=len(unseen),
        )


def _rare_classes(looked: Looked) -> Iterator[DataNote]:
    train = looked.num_boxes("train")
    names = looked.source.train.classes
    rare = [f"{names[label]} ({n})" for label, n in train.items() if 0 < n < _RARE]
    if rare and sum(train.values()) >= _ENOUGH:
        yield DataNote(
            "rare classes",
            NOTE,
            f"{counted(len(rare), 'class has', 'classes have')} fewer than {_RARE} boxes in train: "
            f"{first_of(rare)}.",
            str(looked.source.train.source),
            "So few hardly teach a detector.",
            count=len(rare),
        )


def _pictures_without_boxes(looked: Looked) -> Iterator[DataNote]:
    for split in looked.splits:
        filled = len(np.unique(split.pictures.boxes.images))
        empty = len(split) - filled
        if empty and split.num_boxes:
            many = empty > _MANY_EMPTY * len(split)
            yield DataNote(
                "pictures without boxes",
                WARNING if many else NOTE,
                f"{empty:,} of {counted(len(split), 'picture')} of {split.name} have no box.",
                str(split.source),
                "They are trained on as ground without objects. Objects in them that nobody marked "
                "teach the detector to miss.",
                "Look at some of them." if many else "",
                empty,
            )


def _crowding(looked: Looked) -> Iterator[DataNote]:
    note = crowding_note(looked.source.train, looked.num_queries, looked.num_denoising)
    if note is not None:
        yield note


def _other_classes(looked: Looked) -> Iterator[DataNote]:
    train, val = (looked.num_boxes(split.name) for split in looked.splits)
    if min(sum(train.values()), sum(val.values())) < _ENOUGH:
        return
    labels = sorted(train.keys() | val.keys())
    shares = [np.array([each.get(label, 0) for label in labels], float) for each in (train, val)]
    distance = 0.5 * np.abs(shares[0] / shares[0].sum() - shares[1] / shares[1].sum()).sum()
    if distance > _OTHER_MIX:
        yield DataNote(
            "another mix of classes",
            WARNING,
            f"Train and val have other classes: {distance:.0%} of the boxes of one would have to "
            "change their class to have the mix of the other.",
            str(looked.source.val.source),
            "The evaluation then says little about what was trained.",
            "Split the pictures at random.",
        )


def _other_sizes(looked: Looked) -> Iterator[DataNote]:
    sides = []
    for split in looked.splits:
        boxes = split.pictures.boxes.boxes_xywh
        areas = boxes[:, 2] * boxes[:, 3]
        areas = areas[np.isfinite(areas) & (areas > 0)]
        if len(areas) < _ENOUGH:
            return
        sides.append(float(np.sqrt(np.median(areas))))
    factor = max(sides) / min(sides)
    if factor > _OTHER_SIZE:
        yield DataNote(
            "boxes of another size",
            WARNING,
            f"The boxes of train have a median side of {sides[0]:.0f} pixels, those of val of "
            f"{sides[1]:.0f}.",
            str(looked.source.val.source),
            "One of the splits may be scaled, or is of other pictures.",
            "Compare some pictures of both.",
        )


FINDINGS = (
    _broken,
    _in_both_splits,
    _twice,
    _boxes_outside,
    _tiny_boxes,
    _doubled_boxes,
    _classes_in_one_split,
    _classes_without_boxes,
    _rare_classes,
    _pictures_without_boxes,
    _crowding,
    _other_classes,
    _other_sizes,
)
"""All that a check can find, worst first."""
