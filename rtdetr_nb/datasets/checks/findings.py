"""All that a check can find in a data set, beyond what opening it tells."""

from __future__ import annotations

from rtdetr_nb.datasets.annotations.notes import DataNote
from rtdetr_nb.datasets.checks.box_findings import (
    boxes_of_another_size,
    boxes_outside,
    crowded_pictures,
    doubled_boxes,
    tiny_boxes,
)
from rtdetr_nb.datasets.checks.class_findings import (
    another_mix_of_classes,
    classes_that_are_not_evaluated,
    classes_that_are_not_trained,
    classes_without_boxes,
    rare_classes,
)
from rtdetr_nb.datasets.checks.looked import Looked
from rtdetr_nb.datasets.checks.picture_findings import (
    broken_pictures,
    pictures_in_both_splits,
    pictures_twice,
    pictures_without_boxes,
)
from rtdetr_nb.text.findings import Check

DATA_CHECKS: tuple[Check[Looked], ...] = (
    broken_pictures,
    pictures_in_both_splits,
    pictures_twice,
    boxes_outside,
    tiny_boxes,
    doubled_boxes,
    classes_that_are_not_trained,
    classes_that_are_not_evaluated,
    classes_without_boxes,
    rare_classes,
    pictures_without_boxes,
    crowded_pictures,
    another_mix_of_classes,
    boxes_of_another_size,
)
"""One function a finding, in the order in which they are told."""


def find_all(looked: Looked) -> list[DataNote]:
    """Return every finding, those of opening the data set first."""
    return [*looked.source.notes, *(note for each in DATA_CHECKS for note in _notes(each, looked))]


def _notes(check: Check[Looked], looked: Looked) -> list[DataNote]:
    return [
        DataNote(
            kind=check.name,
            level=words.level or check.level,
            what=words.what,
            where=words.where,
            why=words.why,
            action=words.action,
            count=words.count,
        )
        for words in check.look(looked)
    ]
