"""The file that a training starts from or goes on with: what it would fill, and by which door."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.diagnostics.preflight.weights import look_at_weights
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING
from tests.paths import DATA


@pytest.fixture
def training(sound, tmp_path) -> Training:
    return Training(sound, None, None, tmp_path / "out", source=open_data(DATA / "shapes"))


def write_resume_file(config, path: Path, last_epoch: int = 2) -> Path:
    """A checkpoint of a run with this configuration, its optimizer left out."""
    model = {name: torch.zeros(info.shape) for name, info in model_keys(config).items()}
    torch.save({"model": model, "optimizer": {}, "last_epoch": last_epoch}, path)
    return path


def test_without_a_file_weights_are_random(training):
    (found,) = look_at_weights(training).findings
    assert found.level == NOTE and "random" in found.what


def test_a_file_that_is_not_there(training, tmp_path):
    for name in ("tuning", "resume"):
        part = look_at_weights(replace(training, **{name: tmp_path / "none.pth"}))
        assert [found.level for found in part.findings] == [FAILURE]
    both = replace(training, tuning=tmp_path / "a.pth", resume=tmp_path / "b.pth")
    assert "not both" in look_at_weights(both).findings[0].what


@pytest.mark.slow
def test_a_tuning_file_that_fits(training, tuning):
    part = look_at_weights(replace(training, tuning=tuning))
    assert part.verdict == "ok" and part.figures[0].value == 400
    assert "values 0 to 1" in part.sentence


def test_a_tuning_file_of_another_size(training, tuning):
    larger = training.config.override(["HGNetv2.name=X"])
    part = look_at_weights(replace(training, tuning=tuning, config=larger))
    assert part.verdict == "failed"
    assert "holds HGNetv2-L; the configuration builds HGNetv2-X" in str(part.findings)


def test_a_file_that_is_no_tuning_file(training):
    part = look_at_weights(replace(training, tuning=DATA / "demo_backbone_mmdet.pth"))
    (failure,) = [found for found in part.findings if found.level == FAILURE]
    assert "rtdetr-nb convert" in failure.what
    assert part.figures[0].value == 0


def test_a_checkpoint_to_resume_from(training, tmp_path):
    path = write_resume_file(training.config, tmp_path / "last.pth")
    part = look_at_weights(replace(training, resume=path))
    assert part.findings == () and "3 epochs" in part.sentence


def test_a_checkpoint_of_another_configuration(training, tmp_path):
    path = write_resume_file(training.config, tmp_path / "last.pth")
    other = training.config.override(["num_classes=7", "RTDETRTransformerv2.num_layers=3"])
    (found,) = look_at_weights(replace(training, resume=path, config=other)).findings
    assert found.level == FAILURE
    assert "lacks" in found.what and "in another shape" in found.what


def test_a_checkpoint_behind_the_end(training, tmp_path):
    path = write_resume_file(training.config, tmp_path / "last.pth", last_epoch=9)
    (found,) = look_at_weights(replace(training, resume=path)).findings
    assert found.level == FAILURE and found.where == "epoches"
    longer = training.config.override(["epoches=11"])
    assert look_at_weights(replace(training, resume=path, config=longer)).findings == ()


def test_a_tuning_file_is_nothing_to_resume_from(training, tuning):
    (found,) = look_at_weights(replace(training, resume=tuning)).findings
    assert found.level == FAILURE and "optimizer, last_epoch" in found.what


@pytest.mark.slow
def test_pictures_that_the_backbone_does_not_expect(training, tmp_path, wrong_format):
    part = look_at_weights(replace(training, tuning=wrong_format))
    assert part.verdict == "warnings"
    (found,) = [each for each in part.findings if each.level == WARNING]
    assert "other pictures than RT-DETRv2 feeds" in found.what and "Probed" in found.why
