"""Which process it was: an id alone does not tell, since ids are used again."""

import os
import socket
from pathlib import Path
from typing import Any

from rtdetr_nb.launchers.command import TOKEN_VARIABLE

_PROCESSES = Path("/proc")


def process_start_time(pid: int) -> str | None:
    """Return when the process with this id began; None if no such process runs.

    The text is meant to be compared, not read: together with the id it names a process for good.
    """
    if not (_PROCESSES / "self").exists():
        return _start_time_elsewhere(pid)
    try:
        stat = (_PROCESSES / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command name, in parentheses, may hold anything; state and start time follow it. The time
    # is in clock ticks since the machine started, so no change of its clock changes it.
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] == "Z" else fields[19]


def _start_time_elsewhere(pid: int) -> str | None:
    """Return the same where the system has no /proc: macOS and Windows."""
    import psutil

    try:
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return None if is_zombie else repr(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return "unknown"


def own_identity() -> dict[str, Any]:
    """Return what names this process, the token it was started with, and its job of SLURM."""
    given = {"token": os.environ.get(TOKEN_VARIABLE), "slurm_job": os.environ.get("SLURM_JOB_ID")}
    return identity_of(os.getpid()) | {key: value for key, value in given.items() if value}


def identity_of(pid: int) -> dict[str, Any]:
    """Return what names a process that runs here, for `run.json`."""
    return {
        "pid": pid,
        "process_started": process_start_time(pid),
        "host": socket.gethostname(),
    }


def describes_this_process(description: dict[str, Any]) -> bool:
    """Return whether `run.json` is that of a run in this process.

    Under torchrun and SLURM another process was started first; a token tells whose run it is.
    """
    token = description.get("token")
    if token is not None and token == os.environ.get(TOKEN_VARIABLE):
        return True
    started = process_start_time(os.getpid())
    return (description.get("pid"), description.get("process_started", started)) == (
        os.getpid(),
        started,
    )
