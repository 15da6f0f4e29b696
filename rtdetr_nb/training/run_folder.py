"""The files of a run: what a training process writes and everybody else reads."""

import contextlib
import json
import math
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtdetr_nb.atomic_file import write_atomically
from rtdetr_nb.errors import RunError, TrainingError
from rtdetr_nb.training.history import Record
from rtdetr_nb.training.run_lock import RunLock

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
LOG_FILE = "train.log"
CONFIG_FILE = "config.yml"
LAST_FILE = "last.pth"
BEST_FILE = "best.pth"
# Made by anyone who wants the run to stop and cannot send a signal; removed when it is honoured.
STOP_FILE = "stop"


class RunFolder:
    """Writes `run.json` (what the run is and how it stands) and `metrics.jsonl` (its records).

    From `begin` until the status is no longer "running" no other process can begin a run there.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".writable.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise RunError(
                f"The output folder {path} cannot be written ({error.strerror}). Give another one "
                "with --output-dir."
            ) from error
        self._lock = RunLock(path)
        self._description: Record = {}

    def begin(self, resumed: bool, **facts: Any) -> str:
        """Lock the folder and describe the run; one that is not resumed starts new metrics.

        Returns:
            A sentence about a dead run whose lock was taken over, for the log; else empty.

        Raises:
            RunError: another run lives there.
        """
        self._lock.acquire()
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._lock.describe(started=started)
        self._forget_old_stop_request()
        for path in self.path.glob(".*.partial"):  # what a run was killed while it wrote
            path.unlink(missing_ok=True)
        if not resumed:
            (self.path / METRICS_FILE).unlink(missing_ok=True)
        self._drop_partial_record()
        self._description = {
            "status": "running",
            "started": started,
            "pid": os.getpid(),
            "process_started": process_start_time(os.getpid()),
            "host": socket.gethostname(),
            "command": sys.argv,
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("rtdetr_nb", "torch", "torchvision")},
            **facts,
        }
        self._write_description()
        return self._lock.takeover_note

    def update(self, **facts: Any) -> None:
        """Change or add facts in `run.json`; a status other than "running" unlocks the folder.

        Raises:
            TrainingError: it cannot be written.
        """
        self._description |= facts
        try:
            self._write_description()
        finally:
            if self._description.get("status") != "running":
                self._lock.release()

    def fail(self, message: str, kind: str, sentence: str | None = None) -> None:
        """Record an error as the end of the run, as far as that can still be written.

        Args:
            message: of the error.
            kind: its class.
            sentence: for `run.json`, if not the message.
        """
        with contextlib.suppress(TrainingError):
            self.append({"event": "error", "message": message, "type": kind})
        with contextlib.suppress(TrainingError):
            self.update(status="failed", error=sentence or message)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl`, whole or not at all for a reader of complete lines.

        Raises:
            TrainingError: it cannot be written.
        """
        record = {"time": round(time.time(), 3), **record}
        line = json.dumps(_json_safe(record), allow_nan=False) + "\n"
        try:
            with open(self.path / METRICS_FILE, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise self._cannot_write(METRICS_FILE, error) from error

    def stop_requested(self) -> bool:
        """Whether somebody has asked by the file `stop` to end the run; it is removed."""
        path = self.path / STOP_FILE
        if not path.exists():
            return False
        path.unlink(missing_ok=True)
        return True

    def _forget_old_stop_request(self) -> None:
        """Remove a request to a run before this one; one to this one, while it starts, stays."""
        try:
            pid = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))["pid"]
        except (OSError, ValueError, KeyError):
            return  # whoever starts a run removes this file, and an old request, first
        if pid != os.getpid():
            (self.path / STOP_FILE).unlink(missing_ok=True)

    def _drop_partial_record(self) -> None:
        """Cut off what a run that was killed while it wrote has left of its last line."""
        path = self.path / METRICS_FILE
        if not path.exists():
            return
        content = path.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            os.truncate(path, complete)

    def _write_description(self) -> None:
        text = json.dumps(_json_safe(self._description), indent=1, allow_nan=False) + "\n"
        try:
            write_atomically(
                self.path / RUN_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8")
            )
        except OSError as error:
            raise self._cannot_write(RUN_FILE, error) from error

    def _cannot_write(self, name: str, error: OSError) -> TrainingError:
        return TrainingError(
            f"{name} cannot be written to {self.path} ({error.strerror}). The last checkpoint is "
            f"kept. Make room, then go on with -r {self.path / LAST_FILE}."
        )


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


def _json_safe(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(v) for v in value]
    return value
