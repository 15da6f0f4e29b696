"""Runs seen from outside: start one in a process of its own, attach to it, stop it.

Training is always a subprocess with a folder of its own. So the notebook's kernel stays free, a
crash costs no kernel, a restarted kernel finds the run again, and GPU memory comes back.
"""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtdetr_nb.config.load import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.records import (
    Record,
    events,
    history_table,
    read_records,
    without_abandoned,
)
from rtdetr_nb.runs.previous import PreviousRun, read_json
from rtdetr_nb.runs.folder import (
    CONFIG_FILE,
    LAST_FILE,
    LOG_FILE,
    METRICS_FILE,
    RUN_FILE,
    STOP_FILE,
    RunFolder,
)
from rtdetr_nb.runs.lock import RunLock
from rtdetr_nb.runs.process import fate, is_alive, launch, process_id

_LOG_LINES_IN_ERROR = 15
_LOG_LINE_LENGTH = 300  # characters


@dataclass(frozen=True)
class Run:
    """One run, known by its folder alone; everything is read from there when it is asked for."""

    folder: Path

    @property
    def description(self) -> Record:
        """The content of `run.json`; empty where there is none (yet)."""
        return read_json(self.folder / RUN_FILE)

    @property
    def status(self) -> str:
        """`starting`, `running`, `finished`, `stopped`, `failed`, or `died` without a word."""
        description = self.description
        status = description.get("status", "starting")
        if status != "running" and status != "starting":
            return status
        return status if is_alive(description) else "died"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.status not in ("starting", "running")

    @property
    def owns_records(self) -> bool:
        """Whether the records in the folder are this run's, and not those of an earlier one.

        They are an earlier one's where this run has not begun, or has failed before it began,
        unless it goes on with them.
        """
        description = self.description
        goes_on = description.get("goes_on", bool(description.get("resume")))
        return bool(goes_on) or not PreviousRun(self.folder).is_in_place

    @property
    def records(self) -> list[Record]:
        """All records so far; those of an earlier run in the folder are none of this one."""
        return read_records(self.folder / METRICS_FILE) if self.owns_records else []

    @property
    def history(self) -> Any:
        """The training steps as a pandas DataFrame; see `history_table`."""
        return history_table(self.records)

    @property
    def evaluations(self) -> list[Record]:
        """The evaluations so far."""
        return events(without_abandoned(self.records), "evaluation")

    @property
    def checkpoint(self) -> Path:
        """Where the last state of the run is, for `-r`."""
        return self.folder / LAST_FILE

    @property
    def error(self) -> str:
        """What went wrong, in one sentence and the end of the log; empty if nothing did."""
        status = self.status
        if status not in ("failed", "died"):
            return ""
        reason = self.description.get("error") or fate(self.description)
        return f"{reason}\n{self.log_tail()}".rstrip()

    def log_tail(self, lines: int = _LOG_LINES_IN_ERROR) -> str:
        """The last lines of `train.log`; the line that lists every missed name is cut short."""
        try:
            text = (self.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(_cut(line) for line in text.splitlines()[-lines:])

    def stop(self) -> None:
        """Ask the run to finish its step, save and end; returns at once.

        Raises:
            RunError: the folder of a run on another machine, or of another user, cannot be
                written.
        """
        if self.is_over:
            return
        description = self.description
        is_here = description.get("host") == socket.gethostname()
        if description.get("status") == "running" and is_here:
            # Another user's process takes no signal from here.
            with contextlib.suppress(PermissionError):
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(process_id(description), signal.SIGTERM)
                return
        # Neither does another machine's, and a run that only starts would be killed by it; the
        # file is seen as soon as it can stop in order.
        try:
            (self.folder / STOP_FILE).touch()
        except OSError as error:
            raise RunError(
                f"{self.folder / STOP_FILE}, which asks the run on {description.get('host')} to "
                f"stop, cannot be made ({error.strerror}). Stop it there."
            ) from error

    def wait(self, timeout: float | None = None) -> str:
        """Wait for the end and return the status.

        Raises:
            RunError: it did not end within `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_over:
            if deadline is not None and time.monotonic() > deadline:
                raise RunError(f"The run in {self.folder} has not ended within {timeout} s.")
            time.sleep(0.2)
        return self.status

    def __repr__(self) -> str:
        records = self.records
        steps = [record["step"] for record in records if "event" not in record]
        done = f", step {steps[-1]}" if steps else ""
        return f"Run({str(self.folder)!r}, {self.status}{done})"


def start_run(
    config: Config,
    *,
    output_dir: str | os.PathLike[str],
    tuning: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    max_steps: int | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Start training in a process of its own and return at once.

    The process lives on when the kernel is interrupted, restarted or shut down.

    Args:
        config: what to train; it is written to the folder as `config.yml`.
        output_dir: folder of the run.
        tuning: tuning file to start from.
        resume: checkpoint to go on from.
        max_steps: stop after so many optimizer updates.
        overrides: further `section.key=value` assignments.

    Raises:
        RunError: both `tuning` and `resume` are given, a file is missing, or a run lives in the
            folder.
        ConfigError: an override cannot be applied.
    """
    if tuning and resume:
        raise RunError("Give a tuning file or a checkpoint to resume from, not both.")
    for name, path in (("tuning file", tuning), ("checkpoint to resume from", resume)):
        if path and not Path(path).is_file():
            raise RunError(f"There is no {name} {os.fspath(path)}.")
    config = config.override(overrides) if overrides else config
    folder = Path(output_dir)
    flags = {
        "-c": folder / CONFIG_FILE,
        "--output-dir": folder,
        "-t": tuning,
        "-r": resume,
        "--max-steps": max_steps,
    }
    arguments = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    return launch_in(folder, config, [sys.executable, "-m", "rtdetr_nb", "train", *arguments])


def launch_in(folder: Path, config: Config, command: Iterable[str]) -> Run:
    """Write the configuration of a run to its folder and start its process.

    What describes an earlier run in the folder steps aside; its records stay until the new run has
    begun.

    Raises:
        RunError: a run lives in the folder, or it cannot be written.
    """
    run_folder = RunFolder(folder)
    run = Run(folder)
    with preparing(run):
        run_folder.set_description_aside(CONFIG_FILE)
        try:
            (folder / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
            launch(command, folder)
        except OSError:
            run_folder.put_description_back()
            raise
    return run


@contextlib.contextmanager
def preparing(run: Run) -> Iterator[None]:
    """Keep other runs out of the folder until this one stands described in it.

    Raises:
        RunError: a run lives there, or what is done inside cannot write a file.
    """
    lock = RunLock(run.folder)
    lock.acquire()
    try:
        if run.description and not run.is_over:
            raise RunError(
                f"A run lives in {run.folder} ({run!r}). Stop it, or give another output_dir."
            )
        yield
    except OSError as error:
        raise RunError(
            f"A run cannot be started in {run.folder}: {error.strerror} "
            f"({error.filename or 'no file'}). Make room, or give another output_dir."
        ) from error
    finally:
        lock.release()


def attach_run(output_dir: str | os.PathLike[str]) -> Run:
    """The run that lives, or lived, in a folder.

    Raises:
        RunError: there is no run in the folder.
    """
    run = Run(Path(output_dir))
    if not run.description:
        raise RunError(
            f"There is no run in {run.folder} (no {RUN_FILE}). Give the --output-dir of a run."
        )
    return run


def _cut(line: str) -> str:
    cut = len(line) - _LOG_LINE_LENGTH
    return line if cut <= 0 else f"{line[:_LOG_LINE_LENGTH]} ... ({cut:,} more characters)"
