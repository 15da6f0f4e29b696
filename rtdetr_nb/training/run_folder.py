"""The files of a run: what a training process writes and everybody else reads."""

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
from rtdetr_nb.errors import RunError
from rtdetr_nb.training.history import Record

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
LOG_FILE = "train.log"
CONFIG_FILE = "config.yml"
LAST_FILE = "last.pth"
BEST_FILE = "best.pth"


class RunFolder:
    """Writes `run.json` (what the run is and how it stands) and `metrics.jsonl` (its records).

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
        self._description: Record = {}

    def begin(self, resumed: bool, **facts: Any) -> None:
        """Describe the run; a run that is not resumed starts new metrics."""
        if not resumed:
            (self.path / METRICS_FILE).unlink(missing_ok=True)
        self._description = {
            "status": "running",
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "pid": os.getpid(),
            "process_started": process_start_time(os.getpid()),
            "host": socket.gethostname(),
            "command": sys.argv,
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("rtdetr_nb", "torch", "torchvision")},
            **facts,
        }
        self._write_description()

    def update(self, **facts: Any) -> None:
        """Change or add facts in `run.json`."""
        self._description |= facts
        self._write_description()

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl`, whole or not at all for a reader of complete lines."""
        record = {"time": round(time.time(), 3), **record}
        line = json.dumps(_json_safe(record), allow_nan=False) + "\n"
        with open(self.path / METRICS_FILE, "a", encoding="utf-8") as file:
            file.write(line)

    def _write_description(self) -> None:
        text = json.dumps(_json_safe(self._description), indent=1, allow_nan=False) + "\n"
        write_atomically(
            self.path / RUN_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8")
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
