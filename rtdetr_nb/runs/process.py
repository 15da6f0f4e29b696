"""The process of a run: started, found alive or dead, and how it ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rtdetr_nb.runs.folder import LOG_FILE, RUN_FILE
from rtdetr_nb.runs.process_identity import identity_of, process_start_time
from rtdetr_nb.runs.records import Record

# Processes started here, by id: the system tells an exit status to the parent only.
_started_here: dict[int, "subprocess.Popen[bytes]"] = {}


def launch(command: Iterable[str], folder: Path) -> None:
    """Start the process of a run, which logs to its folder and outlives this one.

    It stands described in `run.json` until it describes itself.
    """
    log = open(folder / LOG_FILE, "ab")  # noqa: SIM115 - the child inherits it
    with log:
        # A session of its own: an interrupt of the kernel does not reach it.
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _started_here[process.pid] = process
    describe_started(process.pid, folder)


def describe_started(pid: int, folder: Path) -> None:
    """Write `run.json`, whole or not at all, unless the process has described itself already."""
    text = json.dumps({"status": "starting", **identity_of(pid)})
    temporary = folder / f".{RUN_FILE}.{pid}.partial"
    # Where the file is there already, the word of the process counts.
    with contextlib.suppress(FileExistsError):
        try:
            temporary.write_text(text, encoding="utf-8")
            os.link(temporary, folder / RUN_FILE)
        except FileExistsError:
            raise
        except OSError:
            # No hard links on this file system, or the process has swept the folder meanwhile.
            with open(folder / RUN_FILE, "x", encoding="utf-8") as file:
                file.write(text)
        finally:
            temporary.unlink(missing_ok=True)


def process_id(description: Record) -> int:
    """The id of the run's process; 0, which no process has, where there is none that could be."""
    found = description.get("pid")
    return found if isinstance(found, int) and found > 0 else 0


def is_alive(description: Record) -> bool:
    """Whether the run's process may still be there; of one on another host nothing is known."""
    if not description:
        return True  # started a moment ago
    if description.get("host") != socket.gethostname():
        return True
    started = process_start_time(process_id(description))
    return started is not None and started == description.get("process_started")


def fate(description: Record) -> str:
    """How a process ended that wrote nothing about it."""
    process = _started_here.get(process_id(description))
    status = process.poll() if process else None
    if status is None:
        return "The process ended without a word."
    if status >= 0:
        return f"The process ended without a word (exit status {status})."
    name = signal.Signals(-status).name
    hint = " The system does that when memory runs out." if name == "SIGKILL" else ""
    return f"The process ended without a word: it was killed by {name}.{hint}"
