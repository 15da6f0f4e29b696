"""A visitor's folder and its runs end with the kernel, however that ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rtdetr_nb.lab import visitor_folder
from rtdetr_nb.lab.visitor_folder import clear_folder
from rtdetr_nb.runs.file_names import RUN_FILE
from rtdetr_nb.runs.process_identity import process_start_time

# Stands for a kernel: makes the folder, starts a process in it as a run, and waits.
KERNEL = """
import os, sys, time
from rtdetr_nb.lab.visitor_folder import visitor_folder
folder = visitor_folder("THE_FOLDER")
print(folder, os.environ["THE_FOLDER"] == folder, flush=True)
sys.stdin.readline()
"""


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _start_run(folder: Path) -> "subprocess.Popen[bytes]":
    """A process that lives, described as a run."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    description = {
        "status": "running",
        "pid": process.pid,
        "process_started": process_start_time(process.pid),
        "host": socket.gethostname(),
    }
    (folder / RUN_FILE).write_text(json.dumps(description), encoding="utf-8")
    return process


@pytest.mark.parametrize("how", ["in order", signal.SIGTERM, signal.SIGKILL])
def test_the_folder_and_its_runs_end_with_the_kernel(how: str | int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as kernel:
        assert kernel.stdin and kernel.stdout
        name, variable_is_set = kernel.stdout.readline().split()
        folder = Path(name)
        assert variable_is_set == "True" and folder.is_dir()
        run = _start_run(folder / "tuned")
        if isinstance(how, str):
            kernel.stdin.close()
        else:
            os.kill(kernel.pid, how)
    assert run.wait(60) == -signal.SIGKILL
    _wait_until(lambda: not folder.exists())


def test_a_run_that_does_not_die_spares_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor_folder, "_SECONDS_TO_DIE", 1.0)
    visitor = tmp_path / "visitor"
    visitor.mkdir()
    gone, other = _start_run(visitor / "first"), _start_run(visitor / "second")
    gone.kill()
    gone.wait()
    # What a run on another machine does is not seen from here.
    description = json.loads((visitor / "first" / RUN_FILE).read_text()) | {"host": "elsewhere"}
    (visitor / "first" / RUN_FILE).write_text(json.dumps(description), encoding="utf-8")
    try:
        clear_folder(visitor)
        assert other.wait(10) == -signal.SIGKILL
        assert not visitor.exists()
    finally:
        other.kill()
        other.wait()


def test_a_run_that_has_ended_is_left_alone(tmp_path: Path) -> None:
    other = _start_run(tmp_path / "other")
    try:
        visitor = tmp_path / "visitor"
        visitor.mkdir()
        text = json.dumps({"status": "finished", "pid": other.pid})  # the id was given again
        (visitor / RUN_FILE).write_text(text, encoding="utf-8")
        clear_folder(visitor)
        assert other.poll() is None
        assert not visitor.exists()
    finally:
        other.kill()
        other.wait()


def test_a_folder_without_runs_or_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "visitor"
    folder.mkdir()
    clear_folder(folder)
    assert not folder.exists()
    clear_folder(folder)
