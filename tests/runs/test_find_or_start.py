"""A run that is there already is found again."""

import json
import logging
from pathlib import Path

import pytest
import torch

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs import find_or_start as ensure
from rtdetr_nb.runs.find_or_start import ensure_run, find_run, find_runs, fingerprint
from rtdetr_nb.runs.run import Run
from tests.ui.fake_run import FakeRun


def test_a_full_disk_does_not_hide_a_run_that_has_been_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(*_: object, **__: object) -> Run:
        (tmp_path / "run.json").write_text(json.dumps({"status": "starting", "pid": 1}))
        (tmp_path / "request.json").mkdir()  # nothing can be written there
        return Run(tmp_path)

    monkeypatch.setattr(ensure, "start_run", start)
    with caplog.at_level(logging.WARNING):
        run = ensure.ensure_run(load_config("quick_run"), output_dir=tmp_path)
    assert run == Run(tmp_path)
    assert "request.json cannot be written" in caplog.text and "attach_run" in caplog.text


def test_a_run_of_something_else_is_not_taken_for_this_one(small_config, started, tmp_path):
    tuning = tmp_path / "tuning.pth"
    torch.save({"model": {"a": torch.zeros(3)}}, tuning)
    wanted = {"output_dir": tmp_path / "run", "tuning": tuning, "max_steps": 3}
    run = ensure_run(small_config, **wanted)
    assert find_run(small_config, **wanted) == run
    assert find_run(small_config, **{**wanted, "max_steps": 4}) is None
    assert find_run(small_config.override(["seed=8"]), **wanted) is None
    torch.save({"model": {"a": torch.ones(3)}}, tuning)
    assert find_run(small_config, **wanted) is None
    torch.save({"model": {"a": torch.zeros(3)}}, tuning)
    assert find_run(small_config, **wanted) == run
    FakeRun(run.folder).describe("failed")
    assert find_run(small_config, **wanted) is None
    description = json.loads((run.folder / "run.json").read_text())
    FakeRun(run.folder).describe("finished", pid=description["pid"] + 1)  # another process
    assert find_run(small_config, **wanted) is None


def test_the_name_of_the_file_does_not_count(tmp_path):
    for name in ("a.pth", "b.pth"):
        torch.save({"model": {"a": torch.arange(4)}}, tmp_path / name)
    assert (tmp_path / "a.pth").read_bytes() != (tmp_path / "b.pth").read_bytes()
    assert fingerprint(tmp_path / "a.pth") == fingerprint(tmp_path / "b.pth")
    (tmp_path / "c").write_bytes(b"abc")
    (tmp_path / "d").write_bytes(b"abd")
    assert fingerprint(tmp_path / "c") != fingerprint(tmp_path / "d")
    assert fingerprint(tmp_path / "e") is None


def test_runs_below_a_folder_in_the_order_they_began(tmp_path):
    with pytest.raises(RunError, match="There is no run in"):
        find_runs(tmp_path)
    for name, started in (("a", "2026-02-01"), ("b", "2026-01-01")):
        FakeRun(tmp_path / name).describe("finished", started=started)
    (tmp_path / "c").mkdir()
    assert [run.folder.name for run in find_runs(tmp_path)] == ["b", "a"]
    assert [run.folder for run in find_runs(tmp_path / "a")] == [tmp_path / "a"]
