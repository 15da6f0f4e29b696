"""How a job of SLURM stands."""

from __future__ import annotations

import re
import subprocess
import time

from rtdetr_nb.errors import RunError

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD"})
"""States of a job that has not begun."""
GOING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING"})
"""States of a job whose processes run, or are about to end."""
UNKNOWN = "UNKNOWN"
"""What is told where the cluster does not answer."""

_SECONDS_KEPT = 2.0  # an answer is good for so long: runs are asked several times a second
_answers: dict[str, tuple[float, str]] = {}


def job_state(job: str) -> str:
    """Return the state of a job in SLURM's words; "ENDED" if it is forgotten, or `UNKNOWN`."""
    kept = _answers.get(job)
    if kept is not None and time.monotonic() - kept[0] < _SECONDS_KEPT:
        return kept[1]
    state = _ask(job)
    _answers[job] = (time.monotonic(), state)
    return state


def cancel(job: str) -> None:
    """Take a job out of the queue, or end it.

    Raises:
        RunError: it cannot be cancelled.
    """
    _answers.pop(job, None)
    try:
        done = subprocess.run(["scancel", job], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(
            f"SLURM job {job} cannot be cancelled from here ({error}). Run `scancel {job}` on a "
            "login node."
        ) from error
    if done.returncode:
        raise RunError(f"SLURM job {job} cannot be cancelled: {done.stderr.strip()}")


def _ask(job: str) -> str:
    command = ["scontrol", "show", "job", job, "--oneliner"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    found = re.search(r"\bJobState=(\w+)", done.stdout)
    if found:
        return found[1]
    # SLURM forgets a job some minutes after its end.
    return "ENDED" if "Invalid job id" in done.stderr else UNKNOWN
