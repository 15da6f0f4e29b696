"""All that a check can find in a data set, beyond what opening it tells."""

from __future__ import annotations

from rtdetr_nb.datasets.annotations.notes import DataNote
from rtdetr_nb.datasets.checks.box_findings import (
    boxes_outside,
    crowding,
    doubled_boxes,
    other_sizes,
    tiny_boxes,
)
from rtdetr_nb.datasets.checks.class_findings import (
    classes_in_one_split,
    classes_without_boxes,
    other_classes,
    rare_classes,
)
from rtdetr_nb.datasets.checks.looked import Looked
from rtdetr_nb.datasets.checks.picture_findings import (
    broken,
    in_both_splits,
    pictures_without_boxes,
    twice,
)

FINDINGS = (
    broken,
    in_both_splits,
    twice,
    boxes_outside,
    tiny_boxes,
    doubled_boxes,
    classes_in_one_split,
    classes_without_boxes,
    rare_classes,
    pictures_without_boxes,
    crowding,
    other_classes,
    other_sizes,
)
"""One function a finding, in the order in which they are told."""


def find_all(looked: Looked) -> list[DataNote]:
    """Return every finding, those of opening the data set first."""
    found = [note for finding in FINDINGS for note in finding(looked)]
    return [*looked.source.notes, *found]
