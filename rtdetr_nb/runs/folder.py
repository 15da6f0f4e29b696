"""The files of a run: what a training process writes and everybody else reads."""

import contextlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.errors import RunError, TrainingError
from rtdetr_nb.runs.records import Record
from rtdetr_nb.runs.previous import PreviousRun, read_json
from rtdetr_nb.runs.process_identity import describes_this_process, identity_of
from rtdetr_nb.runs.lock import RunLock

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
LOG_FILE = "train.log"
CONFIG_FILE = "config.yml"
LAST_FILE = "last.pth"
BEST_FILE = "best.pth"
# Made by anyone who wants the run to stop and cannot send a signal; removed when it is honoured.
STOP_FILE = "stop"
REQUEST_FILE = "request.json"  # what `ensure_run` was asked for when it started the run
EVALUATION_FILE = "evaluation.json"
CURVES_FILE = "precision_recall.png"
# The log is not among them: it goes on from run to run, and processes may hold it open.
_OF_ONE_RUN = (
    METRICS_FILE,
    LAST_FILE,
    BEST_FILE,
    "checkpoint[0-9]*.pth",
    EVALUATION_FILE,
    CURVES_FILE,
    "log.txt",  # of the official code
)


class RunFolder:
    """Writes `run.json` (what the run is and how it stands) and `metrics.jsonl` (its records).

    A run claims the folder first and begins its records once it is sure to train; what an earlier
    run has left is then moved to a folder of its own below `previous/`, never removed. Until it is
    over no other process can claim the folder.

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
        self._previous = PreviousRun(path)
        self._description: Record = {}
        self._resumed = False
        self._has_begun = False

    def begin(self, resumed: bool, **facts: Any) -> str:
        """Claim the folder and begin the records at once; see `claim`."""
        note = self.claim(resumed, **facts)
        self.begin_records()
        return note

    def holds(self, checkpoint: Path | None) -> bool:
        """Whether a checkpoint is this folder's: who resumes it goes on with the records here.

        One from anywhere else is another run's, and its records are not those in this folder.
        """
        return checkpoint is not None and checkpoint.resolve().parent == self.path.resolve()

    def claim(self, resumed: bool, config: str | None = None, **facts: Any) -> str:
        """Lock the folder and describe the run as one that starts; its records do not begin yet.

        Args:
            resumed: the run goes on with the one whose records are in the folder.
            config: YAML to write as `config.yml`, unless whoever started this process has done so.
            facts: for `run.json`.

        Returns:
            A sentence about a dead run whose lock was taken over, for the log; else empty.

        Raises:
            RunError: another run lives there.
            TrainingError: the folder cannot be written.
        """
        self._lock.acquire()
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._lock.describe(started=started)
        earlier = read_json(self.path / RUN_FILE)
        # Whoever starts a run in a process of its own has done so, and asks that one to stop.
        if not describes_this_process(earlier):
            self._make_room(config, is_first=not earlier)
        for path in self.path.glob(".*.partial"):  # what a run was killed while it wrote
            path.unlink(missing_ok=True)
        self._resumed = resumed
        self._description = {
            "status": "starting",
            "started": started,
            **identity_of(os.getpid()),
            "command": sys.argv,
            "goes_on": resumed,
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("rtdetr_nb", "torch", "torchvision")},
            **facts,
        }
        self._write_description()
        return self._lock.takeover_note

    def set_description_aside(self, *also: str) -> None:
        """Make room for the description of a new run, and drop a request to stop the last one.

        Args:
            also: further files that the new run will write before it begins.

        Raises:
            TrainingError: the folder cannot be written.
        """
        try:
            self._previous.step_aside((RUN_FILE, REQUEST_FILE, *also))
            (self.path / STOP_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_write(RUN_FILE, error) from error

    def put_description_back(self) -> None:
        """Undo `set_description_aside` as far as that can be done: the new run did not start."""
        with contextlib.suppress(OSError):
            self._previous.step_back()

    def begin_records(self, **facts: Any) -> Path | None:
        """Make room for the records of the claimed run, which from now on is "running".

        Args:
            facts: for `run.json`.

        Returns:
            Where what an earlier run has left is now; None if there was nothing, or this run goes
            on with it.

        Raises:
            TrainingError: the folder cannot be written.
        """
        try:
            kept = None if self._resumed else self._previous.keep(_OF_ONE_RUN)
            self._previous.forget()
            self._drop_partial_record()
        except OSError as error:
            raise self._cannot_write(METRICS_FILE, error) from error
        self._has_begun = True
        self.update(status="running", **facts)
        return kept

    def update(self, **facts: Any) -> None:
        """Change or add facts in `run.json`; a status that ends the run unlocks the folder.

        Raises:
            TrainingError: it cannot be written.
        """
        self._description |= facts
        try:
            self._write_description()
        finally:
            if self._description.get("status") not in ("starting", "running"):
                self._lock.release()

    def fail(self, message: str, kind: str, sentence: str | None = None) -> None:
        """Record an error as the end of the run, as far as that can still be written.

        Args:
            message: of the error.
            kind: its class.
            sentence: for `run.json`, if not the message.
        """
        if not self._description:
            return  # the folder is another run's
        if self._has_begun:
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

    def _make_room(self, config: str | None, is_first: bool) -> None:
        """Set aside what describes the earlier run, and write the configuration of this one."""
        path = self.path / CONFIG_FILE
        # A first run may be one of a file that somebody has written there: it stays as it is.
        if config is None or is_first and _reads(path, config):
            self.set_description_aside()
            return
        self.set_description_aside(CONFIG_FILE)
        try:
            write_atomically(path, lambda temporary: temporary.write_text(config, encoding="utf-8"))
        except OSError as error:
            self.put_description_back()
            raise self._cannot_write(CONFIG_FILE, error) from error

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
            f"{name} cannot be written to {self.path} ({error.strerror}). Make room. "
            f"{how_to_go_on(self.path)}"
        )


def start_facts(record: Record) -> Record:
    """What `run.json` says of a run by its record of the start."""
    facts = {name: value for name, value in record.items() if name not in ("event", "step")}
    return facts | ({"from_step": record["step"]} if "step" in record else {})


def how_to_go_on(folder: Path) -> str:
    """A sentence on the last checkpoint of the run in a folder."""
    if PreviousRun(folder).is_in_place or not (folder / LAST_FILE).exists():
        return "The run has written no checkpoint yet."
    return f"The last checkpoint is whole: go on with -r {folder / LAST_FILE}."


def _reads(path: Path, text: str) -> bool:
    """Whether the file is there and holds just this."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _json_safe(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(v) for v in value]
    return value
