"""The process of a run: started, found alive or dead, how it ended, and the log it has written."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.launchers.command import TOKEN_VARIABLE
from rtdetr_nb.launchers.slurm import Slurm, submit
from rtdetr_nb.launchers.slurm_queue import GOING, UNKNOWN, WAITING, cancel, job_state
from rtdetr_nb.runs.file_names import JOB_FILE, LOG_FILE, LOG_START, RUN_FILE
from rtdetr_nb.runs.process_identity import identity_of, process_start_time

JOB = "slurm_job"
"""Key of `run.json`: the number of the job, if SLURM runs it."""
_LOG_LINE_LENGTH = 300  # characters

# Processes started here, by id: the system tells an exit status to the parent only.
_started_here: dict[int, "subprocess.Popen[bytes]"] = {}


def launch(command: Iterable[str], folder: Path) -> None:
    """Start the process of a run, which logs to its folder and outlives this one.

    `run.json` describes it until it describes itself.

    Raises:
        OSError: it cannot be started, or a file cannot be written.
    """
    token = secrets.token_hex(8)
    log = open(folder / LOG_FILE, "ab")  # noqa: SIM115 - the child inherits it
    with log:
        log.write(start_line().encode())
        log.flush()
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that an interrupt of the kernel does not reach it
            env={**os.environ, TOKEN_VARIABLE: token},
        )
    _started_here[process.pid] = process
    describe_started({"status": "starting", "token": token, **identity_of(process.pid)}, folder)


def enqueue(arguments: Sequence[str], folder: Path, cluster: Slurm) -> None:
    """Submit a run as a job of SLURM, whose script and log lie in its folder.

    Args:
        arguments: what follows `rtdetr-nb`.
        folder: of the run.
        cluster: where and how long it runs.

    Raises:
        RunError: SLURM does not take the job.
        OSError: a file cannot be written.
    """
    token = secrets.token_hex(8)
    script = folder / JOB_FILE
    script.write_text(cluster.job(arguments, folder, token), encoding="utf-8")
    with open(folder / LOG_FILE, "ab") as log:
        log.write(start_line().encode())
    submitted = datetime.now().astimezone().isoformat(timespec="seconds")
    job = submit(script)
    describe_started({"status": "queued", "token": token, JOB: job, "submitted": submitted}, folder)


def start_line() -> str:
    """Return the line that separates the log of a run from those of earlier runs."""
    return f"{LOG_START}{datetime.now().astimezone().isoformat(sep=' ', timespec='seconds')}\n"


def last_log_lines(folder: Path, count: int) -> str:
    """Return the last lines of a run's log since its start.

    The line that lists every missed name is cut short.
    """
    try:
        text = (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(LOG_START)]
    own = lines[starts[-1] + 1 :] if starts else lines
    return "\n".join(map(_cut, own[-count:]))


def _cut(line: str) -> str:
    cut = len(line) - _LOG_LINE_LENGTH
    return line if cut <= 0 else f"{line[:_LOG_LINE_LENGTH]} ... ({cut:,} more characters)"


def describe_started(description: dict[str, Any], folder: Path) -> None:
    """Write `run.json`, whole or not at all, unless the process has described itself already.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / RUN_FILE
    text = json.dumps(description)
    if not _link_whole(path, text):
        _write_exclusively(path, text)


def _link_whole(path: Path, text: str) -> bool:
    """Give a whole file the name `path`, unless another file has it.

    Returns:
        Whether there is a file of that name now. There may be none on a file system without hard
        links, or if the started process has swept the folder meanwhile.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, path)
    except FileExistsError:
        return True
    except OSError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write_exclusively(path: Path, text: str) -> None:
    """Write a file, unless there is one; a reader may see a part of it for a moment."""
    with contextlib.suppress(FileExistsError), open(path, "x", encoding="utf-8") as file:
        file.write(text)


def process_id(description: dict[str, Any]) -> int:
    """Return the id of the run's process; 0, which no process has, if `run.json` has no id."""
    found = description.get("pid")
    return found if isinstance(found, int) and found > 0 else 0


def queued_status(description: dict[str, Any]) -> str:
    """How a run stands that has described itself nowhere since its job was submitted."""
    state = job_state(str(description.get(JOB)))
    if state in WAITING or state == UNKNOWN:
        return "queued"
    return "starting" if state in GOING else "died"


def leave_queue(description: dict[str, Any], folder: Path) -> None:
    """Cancel a job that waits; its run is "stopped", unless it has begun meanwhile.

    Raises:
        RunError: it cannot be cancelled, or `run.json` cannot be written.
    """
    cancel(str(description[JOB]))
    path = folder / RUN_FILE
    if read_json(path).get("status") == "queued":
        text = json.dumps({**description, "status": "stopped"})
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def is_alive(description: dict[str, Any]) -> bool:
    """Return whether the run's process may be running; on another host it always may."""
    if not description:
        return True  # started a moment ago
    if description.get("host") != socket.gethostname():
        job = description.get(JOB)
        return job is None or job_state(str(job)) in {*WAITING, *GOING, UNKNOWN}
    started = process_start_time(process_id(description))
    return started is not None and started == description.get("process_started")


def explain_exit(description: dict[str, Any]) -> str:
    """Return a sentence on how a process ended that recorded no error."""
    if job := description.get(JOB):
        state = job_state(str(job))
        ended = "" if state in {"ENDED", UNKNOWN, *GOING} else f" ({state})"
        return f"SLURM job {job} ended without recording an error{ended}. Look at `sacct -j {job}`."
    process = _started_here.get(process_id(description))
    status = process.poll() if process else None
    if status is None:
        return "The process exited without recording an error."
    if status >= 0:
        return f"The process exited without recording an error (exit status {status})."
    name = signal.Signals(-status).name
    hint = " The system does that when memory runs out." if name == "SIGKILL" else ""
    return f"The process was killed by {name} before it could record an error.{hint}"
