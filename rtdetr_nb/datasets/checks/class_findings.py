"""Findings on classes: without boxes, in one split only, rare, in another mix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtdetr_nb.datasets.checks.looked import Looked
from rtdetr_nb.text.findings import NOTE, WARNING, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

_RARE = 10  # boxes: with fewer a class can hardly be learned
_ENOUGH = 50  # boxes of a split, before its shares mean anything
_OTHER_MIX = 0.5  # total variation distance of the classes' shares, 0 to 1


@check(WARNING)
def classes_that_are_not_trained(looked: Looked) -> Iterator[Words]:
    """Classes have boxes in val and none in train: their average precision stays 0."""
    untrained = _only_in(looked, "val", "train")
    if untrained:
        yield Words(
            f"{counted(len(untrained), 'class has', 'classes have')} boxes in val and none in "
            f"train: {first_of(untrained)}.",
            str(looked.source.val.source),
            "Their average precision stays 0, and lowers the mean.",
            "Move pictures of them to train.",
            len(untrained),
        )


@check(NOTE)
def classes_that_are_not_evaluated(looked: Looked) -> Iterator[Words]:
    """Classes have boxes in train and none in val."""
    unseen = _only_in(looked, "train", "val")
    if unseen:
        yield Words(
            f"{counted(len(unseen), 'class has', 'classes have')} boxes in train and none in val: "
            f"{first_of(unseen)}.",
            str(looked.source.val.source),
            "Nothing measures how well they are found.",
            count=len(unseen),
        )


def _only_in(looked: Looked, one: str, other: str) -> list[str]:
    """Names of the classes with boxes in one split alone."""
    there, lacking = looked.num_boxes(one), looked.num_boxes(other)
    return [looked.names[label] for label, n in there.items() if n and not lacking.get(label)]


@check(NOTE)
def classes_without_boxes(looked: Looked) -> Iterator[Words]:
    """No box belongs to some classes; their rows of the class head are not trained."""
    train, val = (looked.num_boxes(split.name) for split in looked.splits)
    names = looked.names
    empty = [name for label, name in names.items() if not train.get(label) and not val.get(label)]
    if empty:
        yield Words(
            f"{counted(len(empty), 'class has', 'classes have')} no box in either split, of "
            f"{len(names)}: {first_of(empty)}.",
            str(looked.source.train.source),
            "The class head has rows for them that nothing trains; this does no harm.",
            count=len(empty),
        )


@check(NOTE)
def rare_classes(looked: Looked) -> Iterator[Words]:
    """Classes have fewer than ten boxes to train on."""
    train = looked.num_boxes("train")
    names = looked.source.train.classes
    rare = [f"{names[label]} ({n})" for label, n in train.items() if 0 < n < _RARE]
    if rare and sum(train.values()) >= _ENOUGH:
        yield Words(
            f"{counted(len(rare), 'class has', 'classes have')} fewer than {_RARE} boxes in train: "
            f"{first_of(rare)}.",
            str(looked.source.train.source),
            "So few hardly teach a detector.",
            count=len(rare),
        )


@check(WARNING)
def another_mix_of_classes(looked: Looked) -> Iterator[Words]:
    """Half of the boxes of train would need another class to have the mix of val."""
    train, val = (looked.num_boxes(split.name) for split in looked.splits)
    if min(sum(train.values()), sum(val.values())) < _ENOUGH:
        return
    labels = sorted(train.keys() | val.keys())
    shares = [np.array([each.get(label, 0) for label in labels], float) for each in (train, val)]
    distance = 0.5 * np.abs(shares[0] / shares[0].sum() - shares[1] / shares[1].sum()).sum()
    if distance > _OTHER_MIX:
        yield Words(
            f"Train and val have other classes: {distance:.0%} of the boxes of one would have to "
            "change their class to have the mix of the other.",
            str(looked.source.val.source),
            "The evaluation then says little about what was trained.",
            "Split the pictures at random.",
        )
