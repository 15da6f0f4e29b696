"""The earlier run of a folder back in its place, where the one that took it made no step.

A run can fail before it records (a wrong path), at its first step (no memory) or be killed there.
Then it has nothing to keep, and what the earlier run has left is worth more than its place below
`previous/`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.file_names import (
    METRICS_FILE,
    PREVIOUS_FOLDER,
    REQUEST_FILE,
    RESULTS,
    RUN_FILE,
)
from rtdetr_nb.runs.previous import PreviousRun
from rtdetr_nb.runs.record_file import read_last_step, read_records
from rtdetr_nb.runs.records import is_step


def earlier_run(folder: Path, description: Mapping[str, Any], owns_records: bool) -> Path | None:
    """Return where the earlier run's description lies, if the run in its place made no step.

    Args:
        folder: of both.
        description: of the run that is over.
        owns_records: whether the records in the folder are its own.
    """
    if PreviousRun(folder).owns_results:
        # Of a run that goes on with its own results there is no earlier one.
        pending = folder / PREVIOUS_FOLDER / "pending"
        return None if owns_records or not (pending / RUN_FILE).is_file() else pending
    name = description.get("replaced")
    if not isinstance(name, str) or "/" in name:
        return None
    kept = folder / PREVIOUS_FOLDER / name
    return kept if (kept / RUN_FILE).is_file() and _made_no_step(folder / METRICS_FILE) else None


def _made_no_step(metrics: Path) -> bool:
    """Whether the records are whole and have no step; a long file is read at its end only."""
    if read_last_step(metrics) is not None:
        return False
    try:
        return not any(map(is_step, read_records(metrics)))
    except RunError:
        return False


def restore_earlier_run(folder: Path, description: Mapping[str, Any], owns_records: bool) -> bool:
    """Put the earlier run back, and remove what the one without a step has written.

    The arguments are those of `earlier_run`.

    Returns:
        Whether there was one.

    Raises:
        OSError: a file cannot be moved.
    """
    kept = earlier_run(folder, description, owns_records)
    if kept is None:
        return False
    for pattern in (REQUEST_FILE, *(RESULTS if owns_records else ())):
        for file in folder.glob(pattern):
            file.unlink()
    for file in sorted(kept.iterdir()):
        file.replace(folder / file.name)
    kept.rmdir()
    if not any(kept.parent.iterdir()):
        kept.parent.rmdir()
    return True
