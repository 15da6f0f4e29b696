"""What measurements say of the whole training: arithmetic, held to figures made by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.diagnostics.preflight.rehearsal_figures import Rehearsed, judge_rehearsal
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING
from tests.paths import DATA

FACTS = {
    "phase": "end",
    "pictures": 4,
    "device": "cuda:0",
    "precision": "float16",
    "processes": 1,
    "workers": 2,
    "val_workers": 0,
    "cores": 8,
    "batch_seconds": 0.2,
    "batch_bytes": 4 * 3 * 96 * 96,
    "step_seconds": [0.5, 0.5, 9.0],
    "evaluation_seconds": 0.4,
    "evaluated_pictures": 8,
    "losses": [30.0, 29.0, 28.0],
    "checkpoint_bytes": 221_000_000,
    "host_bytes": 1_000_000_000,
    "gpu_bytes": 8_000_000_000,
    "gpu_total": 80_000_000_000,
    "resumed_epochs": 0,
}


@pytest.fixture
def training(sound, tmp_path) -> Training:
    return Training(sound, None, None, tmp_path, source=open_data(DATA / "shapes"))


def found(training: Training, **facts) -> dict[str, str]:
    part = judge_rehearsal(training, {**FACTS, **facts})
    return {finding.what: finding.level for finding in part.findings}


def test_a_sound_rehearsal_has_no_finding(training):
    assert found(training) == {}


def test_hours_are_those_of_steps_and_evaluations(training):
    seen = Rehearsed(training, FACTS)
    assert seen.whole_step_seconds == pytest.approx(0.5)
    assert seen.evaluation_seconds == pytest.approx(0.4 / 8 * 32)
    assert seen.total_seconds == pytest.approx(160 * 0.5 + 10 * 1.6)
    gone_on = Rehearsed(training, {**FACTS, "resumed_epochs": 5})
    assert gone_on.total_seconds == pytest.approx((160 * 0.5 + 10 * 1.6) / 2)


def test_fewer_and_larger_pictures_are_scaled(training):
    fewer = Rehearsed(training, {**FACTS, "pictures": 1})
    assert fewer.is_reduced and fewer.step_seconds == pytest.approx(2.0)
    scales = ["train_dataloader.collate_fn.scales=[96,192]"]
    drawn = replace(training, config=training.config.override(scales))
    # (96^2 + 192^2) / 2 over 192^2
    assert Rehearsed(drawn, FACTS).step_seconds == pytest.approx(0.5 * 0.625)


def test_waiting_for_data(training):
    assert Rehearsed(training, {**FACTS, "batch_seconds": 1.0}).waiting == pytest.approx(0)
    slow = {**FACTS, "batch_seconds": 2.0}
    assert Rehearsed(training, slow).waiting == pytest.approx(0.5)
    assert Rehearsed(training, {**slow, "cores": 1}).waiting == pytest.approx(0.75)
    alone = Rehearsed(training, {**FACTS, "workers": 0, "batch_seconds": 0.5})
    assert alone.waiting == pytest.approx(0.5)
    assert found(training, batch_seconds=1.2) == {}
    (waits,) = found(training, batch_seconds=2.0).items()
    assert waits == ("50% of the time the training would wait for data.", WARNING)


def test_shared_memory(training, monkeypatch):
    needed = Rehearsed(training, FACTS).shared_memory
    assert needed == 5 * 4 * 3 * 96 * 96
    usage = SimpleNamespace(free=needed)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    assert found(training) == {}
    usage.free -= 1
    assert list(found(training).values()) == [FAILURE]
    assert found(training, workers=0, batch_seconds=0.1) == {}


def test_memory_of_the_gpu(training):
    assert list(found(training, gpu_bytes=79_000_000_000).values()) == [WARNING]


def test_notes_on_what_was_not_rehearsed_as_configured(training):
    reduced = found(training, device="cpu", pictures=1)
    assert list(reduced.values()) == [NOTE] and "1 picture of 4" in next(iter(reduced))
    mixed = replace(training, config=training.config.override(["use_amp=True", "compile=True"]))
    assert list(found(mixed, precision="float32").values()) == [NOTE, NOTE]
    assert list(found(mixed).values()) == [NOTE]
