"""Checkpoint files that several tests only read."""

from pathlib import Path

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from tests.checkpoint.wild import CONFIG, detector, save


@pytest.fixture(scope="session")
def detector_file(tmp_path_factory) -> Path:
    """An official last.pth with raw and averaged weights and an optimizer."""
    content = {
        "model": detector(salt="raw"),
        "ema": {"module": detector(salt="ema")},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "last_epoch": 3,
    }
    return save(content, tmp_path_factory.mktemp("files") / "last.pth")


@pytest.fixture
def backbone_diff(backbone_file) -> Diff:
    return compare(open_checkpoint(backbone_file), CONFIG)


@pytest.fixture
def detector_diff(detector_file) -> Diff:
    return compare(open_checkpoint(detector_file), CONFIG)
