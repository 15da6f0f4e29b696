"""The folder of a run as the run's own process holds it.

    prepare()           claim()              start_recording()             end(), fail()
 ------------> starting ------> claimed -------------------> recording ---------------> over

| state     | who is in it         | `run.json`               | results of an earlier run     |
|-----------|----------------------|--------------------------|-------------------------------|
| starting  | nobody; a process    | none, or "starting" as   | in place, their description   |
|           | has been started     | the starter wrote it     | in `previous/pending/`        |
| claimed   | this process, which  | "starting", with all     | the same                      |
|           | holds the lock       | facts known so far       |                               |
| recording | this process         | "running"                | in `previous/<time>/`, or     |
|           |                      |                          | gone on with                  |
| over      | nobody: the lock is  | "finished", "stopped" or | the same                      |
|           | given back           | "failed", with `error`   |                               |

`start_run` prepares the folder and starts the process, which claims it. A process that was started
on the command line prepares the folder itself when it claims it.
"""

import contextlib
import os
import platform
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtdetr_nb import __version__
from rtdetr_nb.errors import RunError, TrainingError
from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.files.json_file import read_json, to_json
from rtdetr_nb.runs.file_names import (
    CONFIG_FILE,
    LAST_FILE,
    METRICS_FILE,
    REQUEST_FILE,
    RUN_FILE,
    STOP_FILE,
)
from rtdetr_nb.runs.lock import RunLock
from rtdetr_nb.runs.previous import PreviousRun
from rtdetr_nb.runs.process_identity import describes_this_process, own_identity
from rtdetr_nb.runs.record_file import RunRecords
from rtdetr_nb.runs.records import Record, StartRecord


class RunFolder:
    """Owns the folder of a run: `run.json`, the lock, and the way of an earlier run out of it.

    The states that its methods lead to are in the docstring of this module. What an earlier run has
    left is moved, never removed.

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
        self._records = RunRecords(path / METRICS_FILE)
        self._description: dict[str, Any] = {}
        self._resumed = False
        self._is_recording = False

    def holds(self, checkpoint: Path | None) -> bool:
        """Return whether a checkpoint lies in this folder: resuming it continues the records here.

        A checkpoint from elsewhere is another run's, whose records are not those in this folder.
        """
        return checkpoint is not None and checkpoint.resolve().parent == self.path.resolve()

    def prepare(self, *also: str) -> None:
        """Move the earlier run's description away, and drop a request to stop that run.

        Args:
            also: further files that the new run will write before it records.

        Raises:
            TrainingError: the folder cannot be written.
        """
        try:
            self._previous.move_description_away((RUN_FILE, REQUEST_FILE, *also))
            (self.path / STOP_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_write(RUN_FILE, error) from error

    def undo_prepare(self) -> None:
        """Put the earlier run's description back, as far as possible: the new run did not start."""
        with contextlib.suppress(OSError):
            self._previous.move_description_back()

    def claim(self, resumed: bool, config: str | None = None, **facts: Any) -> str:
        """Lock the folder and describe the run as "starting".

        Args:
            resumed: the run goes on with the one whose results are in the folder.
            config: YAML to write as `config.yml`, unless the process that started this one has done
                so.
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
        # If it describes this process, `start_run` has prepared the folder; a request to stop that
        # lies there since then is for this run.
        if not describes_this_process(earlier):
            self._prepare_with(config, is_first=not earlier)
        for path in self.path.glob(".*.partial"):  # what a run was killed while it wrote
            path.unlink(missing_ok=True)
        self._resumed = resumed
        self._description = {
            "status": "starting",
            "started": started,
            **own_identity(),
            "command": sys.argv,
            "goes_on": resumed,
            "python": platform.python_version(),
            # A checkout on PYTHONPATH has no entry among the installed packages.
            "versions": {"rtdetr_nb": __version__}
            | {name: version(name) for name in ("torch", "torchvision")},
            **facts,
        }
        self._write_description()
        return self._lock.takeover_note

    def start_recording(self, **facts: Any) -> Path | None:
        """Move the earlier run's results away; the claimed run is "running" from now on.

        Args:
            facts: for `run.json`.

        Returns:
            Where the files of the earlier run are now; None if there were none, or this run goes on
            with its results.

        Raises:
            TrainingError: the folder cannot be written.
        """
        previous = self._previous
        try:
            kept = previous.leave_results() if self._resumed else previous.move_results_away()
            self._records.drop_partial_line()
        except OSError as error:
            raise self._cannot_write(METRICS_FILE, error) from error
        self._is_recording = True
        replaced = {"replaced": kept.name} if kept is not None else {}
        self.note(status="running", **facts, **replaced)
        return kept

    def claim_and_record(self, resumed: bool, **facts: Any) -> None:
        """Claim the folder and start recording at once; see `claim`."""
        self.claim(resumed, **facts)
        self.start_recording()

    def append(self, record: Record) -> None:
        """Add a record to `metrics.jsonl`.

        Raises:
            TrainingError: it cannot be written.
        """
        try:
            self._records.append(record)
        except OSError as error:
            raise self._cannot_write(METRICS_FILE, error) from error

    def note(self, **facts: Any) -> None:
        """Change or add facts in `run.json`.

        Raises:
            TrainingError: it cannot be written.
        """
        self._description |= facts
        self._write_description()

    def end(self, status: str, **facts: Any) -> None:
        """Describe the run as over and give the folder free.

        Args:
            status: "finished", "stopped" or "failed".
            facts: for `run.json`.

        Raises:
            TrainingError: `run.json` cannot be written; the folder is free nevertheless.
        """
        try:
            self.note(status=status, **facts)
        finally:
            self._lock.release()

    def fail(self, message: str, kind: str, sentence: str | None = None) -> None:
        """End the run by an error, recorded as far as the disk still allows.

        A folder that was not claimed is another run's and stays as it is.

        Args:
            message: of the error.
            kind: its class.
            sentence: for `run.json`, if not the message.
        """
        if not self._description:
            return
        if self._is_recording:
            with contextlib.suppress(TrainingError):
                self.append({"event": "error", "message": message, "type": kind})
        with contextlib.suppress(TrainingError):
            self.end("failed", error=sentence or message)

    def stop_requested(self) -> bool:
        """Return whether the file `stop` asks to end the run; the file is removed."""
        path = self.path / STOP_FILE
        if not path.exists():
            return False
        path.unlink(missing_ok=True)
        return True

    def _prepare_with(self, config: str | None, is_first: bool) -> None:
        """Prepare the folder, and write the configuration of this run."""
        path = self.path / CONFIG_FILE
        # Before the first run the user may have put `config.yml` there; if it is the same it stays.
        if config is None or is_first and _holds_text(path, config):
            self.prepare()
            return
        self.prepare(CONFIG_FILE)
        try:
            write_atomically(path, lambda temporary: temporary.write_text(config, encoding="utf-8"))
        except OSError as error:
            self.undo_prepare()
            raise self._cannot_write(CONFIG_FILE, error) from error

    def _write_description(self) -> None:
        text = to_json(self._description, indent=1) + "\n"
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


def start_facts(record: StartRecord) -> dict[str, Any]:
    """Return what `run.json` says of a run from its record of the start."""
    facts = {name: value for name, value in record.items() if name not in ("event", "step")}
    return facts | ({"from_step": record["step"]} if "step" in record else {})


def how_to_go_on(folder: Path) -> str:
    """Return a sentence on the last checkpoint of the run in a folder."""
    if PreviousRun(folder).owns_results or not (folder / LAST_FILE).exists():
        return "The run has written no checkpoint yet."
    return f"The last checkpoint is whole: go on with -r {folder / LAST_FILE}."


def _holds_text(path: Path, text: str) -> bool:
    """Return whether the file is there and holds just this."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False
