"""Which process it was: an id alone does not tell."""

import os
import socket
from pathlib import Path

from rtdetr_nb.runs.records import Record


def process_start_time(pid: int) -> str | None:
    """When the process with this id began, in the system's own words; None where none runs.

    Together with the id it names a process for good: ids are used again. Only Linux tells it
    without help; elsewhere the answer for a process that runs is "unknown".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return "unknown"
        return "unknown"
    # The command name, in parentheses, may hold anything; state and start time follow it.
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] == "Z" else fields[19]


def identity_of(pid: int) -> Record:
    """What names a process that runs here, for `run.json`."""
    return {
        "pid": pid,
        "process_started": process_start_time(pid),
        "host": socket.gethostname(),
    }


def describes_this_process(description: Record) -> bool:
    """Whether `run.json` is that of a run in this very process."""
    started = process_start_time(os.getpid())
    return (description.get("pid"), description.get("process_started", started)) == (
        os.getpid(),
        started,
    )
