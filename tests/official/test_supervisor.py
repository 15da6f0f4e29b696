"""The supervisor itself, with a program of a few lines in the place of the official one."""

import json
import sys
from pathlib import Path

import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.official import supervisor as official_supervisor
from rtdetr_nb.runs.file_names import CONFIG_FILE, STOP_FILE
from rtdetr_nb.runs.records import events, is_step
from rtdetr_nb.runs.run import Run

STEP = "Epoch: [0]  [ {}/8]  eta: 0:00:04  lr: 0.000050  loss: {} (43.5)"
# It asks once its step is recorded. It ends by itself in the end, so that a test that fails ends.
ASKS_TO_BE_STOPPED = """
import pathlib, time
folder = pathlib.Path({folder!r})
print({step!r}, flush=True)
while not (folder / "metrics.jsonl").exists():
    time.sleep(0.02)
(folder / "stop").touch()
time.sleep(120)
(folder / "trained to its end").touch()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(load_config("rtdetrv2_hgnetv2_l").to_yaml())
    return folder


def supervise(folder: Path, program: str) -> int:
    command = [sys.executable, "-c", program]
    return official_supervisor.main([str(folder), "--checkout", str(folder.parent), "--", *command])


def test_lines_that_cannot_be_read_do_not_end_the_training(folder: Path) -> None:
    said = [
        STEP.format(0, "42.5"),
        "Load model.state_dict, {'missed': ['a'Epoch: [0]}",
        STEP.format(1, "4Epoch:"),
        STEP.format(2, "41.5"),
    ]
    text = "\n".join(said)
    assert supervise(folder, f"print({text!r})") == 0
    run = Run(folder)
    assert run.status == "finished"
    assert [(r["step"], r["loss"]) for r in run.records if is_step(r)] == [(1, 42.5), (3, 41.5)]
    assert [r["level"] for r in events(run.records, "finding")] == ["warning", "note"]


def test_the_stop_file_ends_the_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official_supervisor, "_SECONDS_BETWEEN_LOOKS", 0.05)
    step = STEP.format(0, "42.5")
    assert supervise(folder, ASKS_TO_BE_STOPPED.format(folder=str(folder), step=step)) == 0
    assert not (folder / "trained to its end").exists()
    run = Run(folder)
    assert run.status == "stopped" and not (folder / STOP_FILE).exists()
    (stop,) = events(run.records, "stop")
    assert stop["step"] == 1
    assert "no graceful stop" in json.dumps(run.description)
