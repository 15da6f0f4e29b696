"""The process of a run: described by what starts it, and how it ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtdetr_nb.runs import process
from rtdetr_nb.runs.process import describe_started, explain_exit
from rtdetr_nb.runs.process_identity import identity_of
from rtdetr_nb.runs.run import Run


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_the_first_description_never_replaces_the_one_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_hard_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if not has_hard_links:
        monkeypatch.setattr(os, "link", refuse)
    describe_started({"status": "starting", **identity_of(os.getpid())}, tmp_path)
    first = Run(tmp_path).description
    assert first["status"] == "starting" and first["pid"] == os.getpid()
    (tmp_path / "run.json").write_text('{"status": "failed"}')
    describe_started({"status": "starting", **identity_of(os.getpid())}, tmp_path)
    assert Run(tmp_path).status == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("raise SystemExit(3)", "exited without recording an error (exit status 3)"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL before it could record an error"),
    ],
)
def test_how_a_process_ended_that_was_started_here(
    monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
) -> None:
    child = subprocess.Popen([sys.executable, "-c", program])
    child.wait()
    monkeypatch.setitem(process._started_here, child.pid, child)
    found = explain_exit({"pid": child.pid})
    assert sentence in found and ("memory runs out" in found) == ("SIGKILL" in sentence)


def test_of_a_process_that_was_started_elsewhere_the_status_is_unknown() -> None:
    assert explain_exit({"pid": 1}) == "The process exited without recording an error."
