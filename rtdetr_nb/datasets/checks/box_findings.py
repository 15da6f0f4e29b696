"""Findings on boxes: outside, tiny, doubled, crowded, of another size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtdetr_nb.datasets.checks.looked import Looked
from rtdetr_nb.datasets.crowding import crowding_note
from rtdetr_nb.text.findings import NOTE, WARNING, Words, check
from rtdetr_nb.text.plain_text import counted

_ENOUGH = 50  # boxes of a split, before its shares mean anything
_OTHER_SIZE = 2.0  # factor between the median sides of the boxes
_MANY_DOUBLED = 0.01  # share of the boxes


@check(WARNING)
def boxes_outside(looked: Looked) -> Iterator[Words]:
    """Boxes lie wholly outside of their picture, and are left out."""
    for split in looked.splits:
        count = looked.odd[split.name].outside
        if count:
            yield Words(
                f"{counted(count, 'box', 'boxes')} of {split.name} lie wholly outside of their "
                "picture; they are left out.",
                str(split.source),
                "They may belong to another picture, or to one of another size.",
                "Look at them with rt.show_batch.",
                count,
            )


@check(NOTE)
def tiny_boxes(looked: Looked) -> Iterator[Words]:
    """Boxes have less than a pixel inside of their picture; no detector finds them."""
    for split in looked.splits:
        count = looked.odd[split.name].tiny
        if count:
            yield Words(
                f"{counted(count, 'box', 'boxes')} of {split.name} are less than a pixel wide or "
                "high inside of their picture.",
                str(split.source),
                "No detector finds them.",
                count=count,
            )


@check(NOTE)
def doubled_boxes(looked: Looked) -> Iterator[Words]:
    """Boxes stand twice in one picture. More than one in a hundred is a warning."""
    for split in looked.splits:
        count = looked.odd[split.name].doubled
        if count:
            many = count > _MANY_DOUBLED * split.num_boxes
            yield Words(
                f"{counted(count, 'box', 'boxes')} of {split.name} stand twice: the same picture, "
                "class and place.",
                str(split.source),
                "Each is a missed object in the evaluation, since one detection answers one box.",
                "Remove the second of each.",
                count,
                level=WARNING if many else NOTE,
            )


@check(NOTE)
def crowded_pictures(looked: Looked) -> Iterator[Words]:
    """A picture has more boxes than there are denoising queries for; of queries, a warning."""
    note = crowding_note(looked.source.train, looked.num_queries, looked.num_denoising)
    if note is not None:
        yield Words(note.what, note.where, note.why, note.action, note.count, note.level)


@check(WARNING)
def boxes_of_another_size(looked: Looked) -> Iterator[Words]:
    """The median sides of the boxes of train and val differ by a factor of 2."""
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
        yield Words(
            f"The boxes of train have a median side of {sides[0]:.0f} pixels, those of val of "
            f"{sides[1]:.0f}.",
            str(looked.source.val.source),
            "One of the splits may be scaled, or is of other pictures.",
            "Compare some pictures of both.",
        )
