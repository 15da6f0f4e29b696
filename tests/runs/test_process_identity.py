"""A process is named for good, with the help of /proc and without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtdetr_nb.runs import process_identity
from rtdetr_nb.runs.process_identity import describes_this_process, identity_of, process_start_time


@pytest.fixture(params=["proc", "psutil"], autouse=True)
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the start of a process is read: on Linux, and as on macOS."""
    if request.param == "psutil":
        pytest.importorskip("psutil")
        monkeypatch.setattr(process_identity, "_PROCESSES", Path("/no/such/folder"))
    elif not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    return request.param


def test_a_process_is_the_same_as_long_as_it_runs_and_gone_afterwards() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_start_time(child.pid)
    assert started and started == process_start_time(child.pid)
    assert started != process_start_time(os.getpid())
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked
    assert process_start_time(child.pid) is None
    child.wait()
    assert process_start_time(child.pid) is None


def test_this_process_knows_its_own_description() -> None:
    own = identity_of(os.getpid())
    assert describes_this_process(own)
    assert not describes_this_process({**own, "process_started": "another time"})
    assert not describes_this_process({})
