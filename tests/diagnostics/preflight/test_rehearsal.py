"""The rehearsal as a process: what it does, what it tells, and that it leaves nothing."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.diagnostics.preflight import rehearsal
from rtdetr_nb.diagnostics.preflight.part import Part
from rtdetr_nb.diagnostics.preflight.rehearsal import look_at_rehearsal, passing_folder
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.text.findings import FAILURE
from tests.small_runs import narrow_backbone, narrow_config


@pytest.fixture
def training(tmp_path, monkeypatch):
    """A training of a narrow network in a folder that is not there yet."""
    monkeypatch.setattr(rehearsal, "_PROGRAM", "tests.diagnostics.preflight.narrow_rehearsal")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = write_shapes_dataset(tmp_path / "shapes", num_train=8, num_val=4, seed=7)
    with narrow_backbone():
        scales = "train_dataloader.collate_fn.scales=[64,96]"
        config = narrow_config(data, scales, "checkpoint_freq=1", "epoches=2")
        yield Training(config, None, None, tmp_path / "run", source=open_data(data))


def rehearse(training: Training, seconds: float = 60.0) -> tuple[Part, dict]:
    """The part, and what the process has told."""
    with passing_folder(training) as folder:
        part = look_at_rehearsal(training, folder, seconds)
        facts = read_json(folder / rehearsal.FACTS_FILE)
    return part, facts


def cut_short(picture: Path) -> None:
    """Leave a picture's header, so that only decoding it fails."""
    picture.write_bytes(picture.read_bytes()[:600])


def failure_of(part: Part) -> str:
    (found,) = part.findings
    assert found.level == FAILURE
    return found.what


def test_steps_evaluation_checkpoint_and_a_step_after_it(training, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    part, facts = rehearse(training)
    assert part.verdict != "failed", part.findings
    assert len(facts["losses"]) == 2 and len(facts["step_seconds"]) == 1
    assert facts["batch_size_hw"] == [96, 96]  # the largest of the scales
    assert facts["pictures"] == 2 and facts["evaluated_pictures"] == 2
    assert facts["checkpoint_bytes"] > 500_000 and facts["resumed_step"] == 3
    figures = {figure.name: figure.value for figure in part.figures}
    assert figures["pictures a second"] == pytest.approx(2 / figures["time of a step"], rel=0.02)
    assert figures["peak memory of a process"] > 100_000_000
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cpu_gets_as_many_pictures_as_fit_into_the_time(training):
    part, facts = rehearse(training, seconds=0.001)
    assert facts["pictures"] == 1 and "1 picture a step (of 2" in part.sentence


def test_a_killed_process_is_told_and_leaves_nothing(training, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAY", "killed")
    before = sorted(tmp_path.rglob("*"))
    assert "memory runs out" in failure_of(rehearse(training)[0])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_process_that_hangs_is_ended(training, monkeypatch):
    monkeypatch.setenv("PLAY", "hangs")
    monkeypatch.setattr(rehearsal, "_LIMIT", 1.0)
    started = []
    popen = rehearsal.subprocess.Popen
    monkeypatch.setattr(
        rehearsal.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0]
    )
    assert "not over" in failure_of(rehearse(training)[0])
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)


def test_a_picture_that_the_evaluation_cannot_read(training):
    split = training.source.val.evenly(2)
    cut_short(split.image_path(0))
    what = failure_of(rehearse(training)[0])
    assert what.startswith("The rehearsal ended in 'the evaluation'.")
    assert split.image_path(0).name in what


def test_a_device_that_is_not_there(training):
    other = replace(training, config=training.config.override(["device=cuda:7"]))
    what = failure_of(rehearse(other)[0])
    assert "cuda:7" in what and "Traceback" not in what


def test_it_goes_on_with_a_run(training, tmp_path):
    from rtdetr_nb.training.assembly import TrainingOptions
    from rtdetr_nb.training.loop import train

    folder = tmp_path / "earlier"
    folder.mkdir()
    list(train(training.config, TrainingOptions(folder, max_steps=4)))
    resumed = replace(training, resume=folder / "last.pth", output_dir=folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    part, facts = rehearse(resumed)
    assert part.verdict != "failed", part.findings
    assert facts["resumed_step"] == 3
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_two_processes_rehearse_together(training):
    part, facts = rehearse(replace(training, processes=2))
    assert part.verdict != "failed", part.findings
    assert facts["processes"] == 2 and facts["pictures"] == 2
    assert "2 processes" in part.sentence


@pytest.mark.slow
def test_an_error_of_all_processes_is_told_once(training):
    cut_short(training.source.val.evenly(2).image_path(0))
    assert "the evaluation" in failure_of(rehearse(replace(training, processes=2))[0])


def test_its_folder_lies_on_the_disk_of_the_run(training, tmp_path, monkeypatch):
    with passing_folder(training) as folder:
        assert folder.parent == tmp_path
    assert not folder.exists()
    usage = SimpleNamespace(free=10)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with passing_folder(training) as folder:
        assert Path(tmp_path) not in folder.parents
