"""One run in a folder at a time."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.lock import RunLock
from rtdetr_nb.runs.run import attach_run, start_run
from tests.runs.one_folder import Runs
from tests.small_runs import await_steps, losses, steps


def test_a_second_run_is_refused_while_the_first_lives(runs: Runs) -> None:
    first = runs.start("-u", "train_dataloader.num_workers=1")
    await_steps(runs.folder, 1)
    text = runs.finish("--max-steps", 1, status=2)
    assert f"A run is still going on in {runs.folder} (process {first.pid} on " in text
    with pytest.raises(RunError, match="A run is still going on in"):
        start_run(load_config(runs.file), output_dir=runs.folder)
    before = len(losses(runs.folder))
    assert attach_run(runs.folder).status == "running"
    await_steps(runs.folder, before + 2)  # the first one did not mind
    first.kill(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    # At once, while the first one's data worker still lives.
    text = runs.finish("--max-steps", 1)
    assert f"crashed or was killed (process {first.pid} on " in text
    assert "its lock is taken over" in text
    assert "taken over" not in runs.finish("--max-steps", 1)


def test_of_those_who_want_the_lock_at_once_one_gets_it(runs: Runs) -> None:
    children = [runs.start() for _ in range(3)]  # each would train for ever
    await_steps(runs.folder, 1)
    winner_pid = attach_run(runs.folder).description["pid"]
    winner = next(child for child in children if child.pid == winner_pid)
    losers = [child for child in children if child is not winner]
    assert [child.wait() for child in losers] == [2, 2]
    before = len(steps(runs.folder))
    await_steps(runs.folder, before + 2)  # the winner did not mind
    winner.kill(signal.SIGTERM)
    assert winner.wait() == 0, winner.text()
    recorded = [record["step"] for record in steps(runs.folder)]
    assert recorded == list(range(1, len(recorded) + 1))


def test_a_lock_of_which_only_half_was_written_is_no_riddle(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text('{"pid": 1')
    lock = RunLock(tmp_path)
    lock.acquire()
    assert "process unknown on unknown" in lock.takeover_note
    lock.describe(started="today")
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    lock.release()
    assert (tmp_path / "run.lock").read_text() == ""


def test_a_system_without_file_locks_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    with pytest.raises(RunError, match="file locks of Linux or macOS.*WSL 2"):
        RunLock(tmp_path).acquire()
