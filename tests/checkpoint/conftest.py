"""Checkpoint files that several tests only read."""

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from tests.checkpoint.wild import CONFIG


@pytest.fixture
def backbone_diff(backbone_file) -> Diff:
    return compare(open_checkpoint(backbone_file), CONFIG)


@pytest.fixture
def detector_diff(detector_file) -> Diff:
    return compare(open_checkpoint(detector_file), CONFIG)
