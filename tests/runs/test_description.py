"""What a run's folder tells of it, whatever stands in `run.json`; and asking it to stop."""

import json
import os
import socket
from pathlib import Path

import pytest

from rtdetr_nb.runs.folder import RUN_FILE, STOP_FILE, start_facts
from rtdetr_nb.runs.previous import PreviousRun
from rtdetr_nb.runs.process_identity import process_start_time
from rtdetr_nb.runs.run import Run


def describe(folder: Path, **facts: object) -> Run:
    """A run of this process, which lives, except for the facts."""
    own = {
        "status": "running",
        "pid": os.getpid(),
        "process_started": process_start_time(os.getpid()),
        "host": socket.gethostname(),
    }
    (folder / RUN_FILE).write_text(json.dumps({**own, **facts}))
    return Run(folder)


@pytest.mark.parametrize("pid", [None, "many", [1], 1.5, 0, -1])
def test_a_process_without_a_number_is_none_that_lives(tmp_path: Path, pid: object) -> None:
    run = describe(tmp_path, pid=pid)
    assert run.status == "died" and run.is_over
    assert run.error == "The process ended without a word."
    run.stop()
    assert not (tmp_path / STOP_FILE).exists()


def test_the_run_of_another_user_is_asked_by_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    run = describe(tmp_path)
    monkeypatch.setattr(os, "kill", refuse)
    run.stop()
    assert (tmp_path / STOP_FILE).exists()


@pytest.mark.parametrize(
    ("facts", "owns"),
    [
        ({}, False),
        ({"resume": "last.pth"}, True),  # as it was written once
        ({"resume": "elsewhere/last.pth", "goes_on": False}, False),
        ({"resume": "last.pth", "goes_on": True}, True),
    ],
)
def test_records_of_an_earlier_run_are_those_of_one_that_goes_on_with_it(
    tmp_path: Path, facts: dict[str, object], owns: bool
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert describe(tmp_path, status="finished").owns_records
    PreviousRun(tmp_path).step_aside([RUN_FILE])
    run = describe(tmp_path, status="failed", **facts)
    assert run.owns_records is owns
    assert run.records == ([{"step": 1}] if owns else [])


def test_the_step_of_the_start_is_not_called_the_step_of_the_run():
    start = {"event": "start", "step": 4, "device": "cpu"}
    assert start_facts(start) == {"from_step": 4, "device": "cpu"}
    assert start_facts({"event": "start", "device": "cpu"}) == {"device": "cpu"}
