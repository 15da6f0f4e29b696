"""Whether the folder of the run can be written, and holds the checkpoints to the end."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.diagnostics.preflight.room import checkpoint_bytes, look_at_room
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.model.build import build_model
from rtdetr_nb.text.findings import FAILURE, NOTE
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.optimizer import build_lr_scheduler, build_optimizer
from rtdetr_nb.training.state import TrainingState
from tests.paths import DATA
from tests.small_runs import narrow_backbone, narrow_config
from tests.ui.fake_run import FakeRun


@pytest.fixture
def training(sound, tmp_path) -> Training:
    source = open_data(DATA / "shapes")
    return Training(sound, None, None, tmp_path / "runs" / "one", source=source)


def test_a_new_folder_is_fine_and_not_made(training):
    part = look_at_room(training)
    assert part.verdict == "ok" and part.findings == ()
    assert not training.output_dir.parent.exists()
    assert [figure.value for figure in part.figures][1] == 5 * part.figures[0].value


def test_a_folder_that_cannot_be_made(training, tmp_path):
    (tmp_path / "runs").write_text("a file")
    (found,) = look_at_room(training).findings
    assert found.level == FAILURE and str(tmp_path / "runs") in found.what


def test_a_disk_that_is_too_small(training, monkeypatch):
    size = checkpoint_bytes(training.config)
    usage = SimpleNamespace(free=5 * size)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    assert look_at_room(training).verdict == "ok"
    usage.free = 5 * size - 1
    (found,) = look_at_room(training).findings
    assert found.level == FAILURE and "5 of" in found.what
    assert "checkpoint_freq=6" in found.action  # one of ten epochs, and three files
    usage.free = size
    (found,) = look_at_room(training).findings
    assert "another disk" in found.action


def test_a_run_that_is_there_already(training):
    fake = FakeRun(training.output_dir)
    fake.describe("running")
    (found,) = look_at_room(training).findings
    assert found.level == FAILURE and "running" in found.what
    fake.describe("finished")
    (found,) = look_at_room(training).findings
    assert found.level == NOTE
    goes_on = replace(training, resume=training.output_dir / "last.pth")
    assert look_at_room(goes_on).findings == ()


def test_the_size_is_that_of_a_written_checkpoint(shapes_folder, tmp_path):
    with narrow_backbone():
        config = narrow_config(shapes_folder)
        size, model = checkpoint_bytes(config), build_model(config)
    optimizer = build_optimizer(config, model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    schedule = build_lr_scheduler(config, optimizer)
    average = ModelEMA(model, 0.9, 1)
    path = tmp_path / "last.pth"
    TrainingState(model, optimizer, schedule, None, average, None, seed=0).save(path)
    # The names and the places of 900 small tensors weigh more here than in a model of full size,
    # where they are a thousandth (measured: 528 MB expected, 529 MB written).
    assert 0.75 < size / path.stat().st_size < 1


def test_nothing_is_left_behind(training, tmp_path):
    before = set(Path(tmp_path).rglob("*"))
    look_at_room(training)
    assert set(Path(tmp_path).rglob("*")) == before
