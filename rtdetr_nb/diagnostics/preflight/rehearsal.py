"""The part that rehearses: the training itself, in a process, for two steps."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.diagnostics.preflight.part import Part, part
from rtdetr_nb.diagnostics.preflight.rehearsal_figures import judge_rehearsal
from rtdetr_nb.diagnostics.preflight.room import checkpoint_bytes
from rtdetr_nb.diagnostics.preflight.shortened import (
    ASKED_FILE,
    FACTS_FILE,
    rehearsed_config,
)
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.diagnostics.preflight.weights import resumed_epochs, resumed_steps
from rtdetr_nb.files.json_file import read_json, to_json
from rtdetr_nb.runs.file_names import CONFIG_FILE
from rtdetr_nb.text.findings import FAILURE, Finding
from rtdetr_nb.text.printable import printable

_PROGRAM = "rtdetr_nb.diagnostics.preflight.rehearsing"
_LIMIT = 600.0  # seconds
_GRACE = 10.0  # seconds that torchrun has to end its processes
_FILES = 3  # checkpoints that are there at a time


def look_at_rehearsal(training: Training, folder: Path, seconds: float) -> Part:
    """Train two steps as configured, evaluate a batch, write, read and go on.

    Args:
        training: to rehearse.
        folder: empty, for everything that is written.
        seconds: that steps and evaluation may take on a CPU, which then get fewer pictures.
    """
    (folder / CONFIG_FILE).write_text(rehearsed_config(training).to_yaml(), encoding="utf-8")
    asked = _asked(training, seconds)
    (folder / ASKED_FILE).write_text(to_json(asked), encoding="utf-8")
    status, output = _run(_command(training.processes, folder), _LIMIT)
    facts = read_json(folder / FACTS_FILE)
    if status == 0 and facts.get("phase") == "end":
        return judge_rehearsal(training, {**asked, **facts})
    failure = _failure(folder, facts.get("phase", "starting"), status, output)
    return part("rehearsal", f"It ended in: {facts.get('phase', 'starting')}.", [failure])


@contextlib.contextmanager
def passing_folder(training: Training) -> Iterator[Path]:
    """A folder for what is written, on the disk of the run where that has room; then removed."""
    with tempfile.TemporaryDirectory(
        prefix=".rtdetr-nb-preflight-", dir=_place(training), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _place(training: Training) -> Path | None:
    """A folder beside that of the run; None for the system's own."""
    needed = _FILES * checkpoint_bytes(training.config)
    for above in training.output_dir.absolute().parents:
        if above.is_dir():
            fits = os.access(above, os.W_OK | os.X_OK) and shutil.disk_usage(above).free > needed
            return above if fits else None
    return None


def _asked(training: Training, seconds: float) -> dict[str, Any]:
    resume = open_checkpoint(training.resume) if training.resume else None
    return {
        "tuning": str(training.tuning.absolute()) if training.tuning else None,
        "resume": str(training.resume.absolute()) if training.resume else None,
        "resumed_steps": resumed_steps(resume) if resume else 0,
        "resumed_epochs": (resumed_epochs(resume) or 0) if resume else 0,
        "seconds": seconds,
    }


def _command(processes: int, folder: Path) -> list[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        start += [*torchrun, "-m"]
    return [*start, _PROGRAM, str(folder)]


def _run(command: list[str], limit: float) -> tuple[int | None, str]:
    """Run a program to its end; its status, None where it took too long, and what it printed.

    Whatever happens, none of its processes is left.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it has started."""
    if process.poll() is None:
        process.terminate()  # torchrun then ends those that are in sessions of their own
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(folder: Path, phase: str, status: int | None, output: str) -> Finding:
    """What stopped the rehearsal, in the words of the process that it stopped."""
    errors = [read_json(path) for path in sorted(folder.glob("error.*.json"))]
    own = next((each for each in errors if not each["kind"]), errors[0] if errors else None)
    if status is None:
        what = f"It was not over after {_LIMIT / 60:.0f} minutes."
    elif own is not None:
        message = printable(str(own["message"]).strip().partition("\n")[0])
        what = f"{own['kind']}: {message}" if own["kind"] else message
    else:
        what = _explained(status, output)
    return Finding(
        FAILURE,
        f"The rehearsal ended in {phase!r}. {what}",
        "rehearsal",
        "The training would end there too.",
    )


def _explained(status: int, output: str) -> str:
    if status == -signal.SIGKILL:
        return "Its process was killed, as the system does when memory runs out."
    lines = [printable(line) for line in output.splitlines() if line.strip()]
    said = f": {lines[-1]}" if lines else ""
    return f"Its process ended with status {status}{said}."
