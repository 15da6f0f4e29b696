"""Findings on pictures: broken, twice, in both splits, without boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtdetr_nb.datasets.checks.looked import Looked
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

_MANY_EMPTY = 0.5  # share of the pictures


@check(FAILURE)
def broken_pictures(looked: Looked) -> Iterator[Words]:
    """Pictures cannot be decoded; a run would end at the first of them."""
    if looked.broken:
        names = [f"{each.path} ({each.reason})" for each in looked.broken]
        yield Words(
            f"{counted(len(names), 'picture')} cannot be decoded: {first_of(names)}.",
            looked.source.layout,
            "A run ends at the first of them, whenever it comes.",
            "Replace the files, or remove their entries.",
            len(names),
        )


@check(WARNING)
def pictures_in_both_splits(looked: Looked) -> Iterator[Words]:
    """Pictures of val are in train too, byte for byte."""
    if not looked.twins:
        return
    of_val = {looked.source.val.image_path(i) for i in range(len(looked.source.val))}
    shared = [group for group in looked.twins if 0 < sum(p in of_val for p in group) < len(group)]
    if shared:
        pairs = [f"{group[0]} and {group[-1]}" for group in shared]
        yield Words(
            f"{counted(len(shared), 'picture')} of val {'is' if len(shared) == 1 else 'are'} in "
            f"train too, byte for byte: {first_of(pairs, 2)}.",
            str(looked.source.val.source),
            "The evaluation then measures what was learned by heart.",
            "Remove them from one of the splits.",
            len(shared),
        )


@check(NOTE)
def pictures_twice(looked: Looked) -> Iterator[Words]:
    """One split has pictures more than once, byte for byte."""
    for split in looked.splits if looked.twins else ():
        own = {split.image_path(index) for index in range(len(split))}
        groups = [[p for p in group if p in own] for group in looked.twins]
        again = [group for group in groups if len(group) > 1]
        if again:
            pairs = [f"{group[0].name} and {group[1].name}" for group in again]
            yield Words(
                f"Of {split.name}, {counted(len(again), 'picture')} stand there more than once, "
                f"byte for byte: {first_of(pairs, 2)}.",
                str(split.source),
                "They count more than once, and their boxes may contradict each other.",
                count=len(again),
            )


@check(NOTE)
def pictures_without_boxes(looked: Looked) -> Iterator[Words]:
    """No box belongs to some pictures. More than half of a split is a warning."""
    for split in looked.splits:
        filled = int(np.count_nonzero(np.diff(split.pictures.starts)))
        empty = len(split) - filled
        if empty and split.num_boxes:
            many = empty > _MANY_EMPTY * len(split)
            yield Words(
                f"{empty:,} of {counted(len(split), 'picture')} of {split.name} have no box.",
                str(split.source),
                "They are trained on as ground without objects. Objects in them that nobody marked "
                "teach the detector to miss.",
                "Look at some of them." if many else "",
                empty,
                level=WARNING if many else NOTE,
            )
