"""Runs seen from outside: start one as a process, attach to it, stop it.

Training is always a subprocess with its own folder. So the notebook's kernel stays free, a crash
costs no kernel, a restarted kernel finds the run again, and GPU memory comes back.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.launchers.command import python_command, train_arguments
from rtdetr_nb.launchers.slurm import Slurm
from rtdetr_nb.runs.file_names import (
    CONFIG_FILE,
    LAST_FILE,
    METRICS_FILE,
    RUN_FILE,
    STOP_FILE,
)
from rtdetr_nb.runs.folder import RunFolder
from rtdetr_nb.runs.history import history_table, without_abandoned
from rtdetr_nb.runs.lock import preparing
from rtdetr_nb.runs.previous import EARLIER_IS_KEPT, PreviousRun, earlier_run, restore_earlier_run
from rtdetr_nb.runs.process import (
    enqueue,
    explain_exit,
    is_alive,
    last_log_lines,
    launch,
    leave_queue,
    process_id,
    queued_status,
)
from rtdetr_nb.runs.record_file import read_last_step, read_records
from rtdetr_nb.runs.records import EvaluationRecord, Record, events

UNDER_WAY = ("queued", "starting", "running")
"""What a run is before it is over."""
_LOG_LINES_IN_ERROR = 15


@dataclass(frozen=True)
class RunSnapshot:
    """What a run's folder says of it at one moment.

    Attributes:
        description: the content of `run.json`; empty if there is none (yet).
        status: `queued` (a job of SLURM that waits), `starting`, `running`, `finished`, `stopped`,
            `failed`, or `died` for a run whose process is gone without having recorded how it
            ended.
        owns_records: whether the records in the folder are this run's. They are an earlier run's
            while this one starts, and if it failed before it trained, unless it goes on with them.
    """

    description: dict[str, Any]
    status: str
    owns_records: bool

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.status not in UNDER_WAY

    @property
    def failed(self) -> bool:
        """Whether an error ended it, recorded or not."""
        return self.status in ("failed", "died")


@dataclass(frozen=True)
class Run:
    """One run, known by its folder alone; everything is read from there when it is asked for."""

    folder: Path

    def describe(self) -> RunSnapshot:
        """Read once what the folder says of the run, for several questions about one moment."""
        description = read_json(self.folder / RUN_FILE)
        died = _is_under_way(description) and not is_alive(description)
        if died:  # unless it has recorded its end since
            description = read_json(self.folder / RUN_FILE)
            died = _is_under_way(description)
        status = "died" if died else description.get("status", "starting")
        if status == "queued":
            status = queued_status(description)
        goes_on = description.get("goes_on", bool(description.get("resume")))
        owns_records = bool(goes_on) or not PreviousRun(self.folder).owns_results
        return RunSnapshot(description, status, owns_records)

    @property
    def description(self) -> dict[str, Any]:
        """The content of `run.json`; empty if there is none (yet)."""
        return self.describe().description

    @property
    def status(self) -> str:
        """How the run stands; see `RunSnapshot`."""
        return self.describe().status

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.describe().is_over

    @property
    def records(self) -> list[Record]:
        """All records so far, abandoned ones included; see `rtdetr_nb.runs.records`."""
        return read_records(self.folder / METRICS_FILE) if self.describe().owns_records else []

    @property
    def history(self) -> Any:
        """The training steps as a pandas DataFrame, indexed by `step`; see `history_table`."""
        return history_table(self.records)

    @property
    def evaluations(self) -> list[EvaluationRecord]:
        """The evaluations so far."""
        return events(without_abandoned(self.records), "evaluation")

    @property
    def checkpoint(self) -> Path:
        """Path of the last checkpoint of the run, for `-r`."""
        return self.folder / LAST_FILE

    @property
    def reason(self) -> str:
        """What went wrong, in one sentence; empty if nothing did."""
        seen = self.describe()
        found = seen.description.get("error") or explain_exit(seen.description)
        return str(found) if seen.failed else ""

    @property
    def error(self) -> str:
        """What went wrong, in one sentence and the end of the log; empty if nothing did."""
        reason = self.reason
        if not reason:
            return ""
        kept = f" {EARLIER_IS_KEPT}" if self.has_earlier else ""
        return f"{reason}{kept}\n{self.log_tail()}".rstrip()

    def log_tail(self, lines: int = _LOG_LINES_IN_ERROR) -> str:
        """The last lines of `train.log` since the run's start; overlong ones are cut short."""
        return last_log_lines(self.folder, lines)

    @property
    def has_earlier(self) -> bool:
        """Whether `restore_earlier` would put another run in the place of this one."""
        return earlier_run(self.folder, self.describe()) is not None

    def restore_earlier(self) -> bool:
        """Put the earlier run back, if this one failed before a first step; return whether it did.

        Raises:
            RunError: another run has begun in the folder, or it cannot be written.
        """
        with preparing(self):
            return restore_earlier_run(self.folder, self.describe())

    def stop(self) -> None:
        """Ask the run to finish its step, save and end; returns at once.

        Raises:
            RunError: the folder of a run on another machine, or of another user, cannot be
                written.
        """
        seen = self.describe()
        if seen.is_over:
            return
        host = seen.description.get("host")
        if seen.status == "queued":
            leave_queue(seen.description, self.folder)
            return
        if seen.status == "running" and host == socket.gethostname():
            # Another user's process takes no signal from here.
            with contextlib.suppress(PermissionError):
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(process_id(seen.description), signal.SIGTERM)
                return
        # A process on another machine takes none either, and a run that only starts would be killed
        # by it; the file is seen as soon as the run can save its state.
        try:
            (self.folder / STOP_FILE).touch()
        except OSError as error:
            raise RunError(
                f"{self.folder / STOP_FILE}, which asks the run on {host} to stop, cannot be "
                f"made ({error.strerror}). Stop it there."
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
        seen = self.describe()
        step = read_last_step(self.folder / METRICS_FILE) if seen.owns_records else None
        done = "" if step is None else f", step {step}"
        return f"Run({str(self.folder)!r}, {seen.status}{done})"


def start_run(
    config: Config,
    *,
    output_dir: str | os.PathLike[str],
    tuning: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    max_steps: int | None = None,
    overrides: Sequence[str] = (),
    processes: int = 1,
    launcher: Slurm | None = None,
) -> Run:
    """Start training as a process and return at once.

    The process lives on when the kernel is interrupted, restarted or shut down. On a cluster it is
    a job: `run.status` is "queued" until it begins, and `run.stop()` then cancels it.

    Args:
        config: what to train; it is written to the folder as `config.yml`.
        output_dir: folder of the run.
        tuning: tuning file to start from.
        resume: checkpoint to go on from.
        max_steps: stop after so many optimizer updates.
        overrides: further `section.key=value` assignments.
        processes: that train together, by torchrun, each on a GPU of this machine (on the CPU with
            `device=cpu`). The batch of the configuration is shared out among them.
        launcher: `rt.Slurm(...)` submits it as a job of SLURM instead, which has as many processes
            as GPUs. Folder, data and files have to lie where the nodes see them.

    Raises:
        RunError: SLURM refuses the job, or `processes` is less than 1 or given beside `launcher`;
            both `tuning` and `resume` are given, a file is missing, or a run lives in the
            folder.
        ConfigError: an override cannot be applied.
    """
    if tuning and resume:
        raise RunError("Give a tuning file or a checkpoint to resume from, not both.")
    for name, path in (("tuning file", tuning), ("checkpoint to resume from", resume)):
        if path and not Path(path).is_file():
            raise RunError(f"There is no {name} {os.fspath(path)}.")
    if processes < 1 or (processes > 1 and launcher is not None):
        raise RunError(
            f"processes is {processes}. Give 1 or more; with a launcher, give it gpus instead."
        )
    config = config.override(overrides) if overrides else config
    folder = Path(output_dir)
    arguments = train_arguments(folder / CONFIG_FILE, folder, tuning, resume, max_steps)
    if launcher is not None:
        return begin_in(folder, config, lambda: enqueue(arguments, folder, launcher))
    return launch_in(folder, config, python_command(arguments, processes))


def launch_in(folder: Path, config: Config, command: Iterable[str]) -> Run:
    """Begin a run whose process is started here by this command; see `begin_in`."""
    return begin_in(folder, config, lambda: launch(command, folder))


def begin_in(folder: Path, config: Config, begin: Callable[[], None]) -> Run:
    """Write the configuration of a run to its folder and begin it.

    The description of an earlier run in the folder is moved away; its results stay until the new
    run records.

    Raises:
        RunError: a run lives in the folder, or it cannot be written.
    """
    run_folder = RunFolder(folder)
    run = Run(folder)
    with preparing(run):
        run_folder.prepare(CONFIG_FILE)
        try:
            (folder / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
            begin()
        except (OSError, RunError):
            run_folder.undo_prepare()
            raise
    return run


def attach_run(output_dir: str | os.PathLike[str]) -> Run:
    """Return the run of a folder, whether it goes on or is over.

    Raises:
        RunError: there is no run in the folder.
    """
    run = Run(Path(output_dir))
    if not run.description:
        raise RunError(
            f"There is no run in {run.folder} (no {RUN_FILE}). Give the --output-dir of a run."
        )
    return run


def _is_under_way(description: dict[str, Any]) -> bool:
    return description.get("status", "starting") in ("starting", "running")
