"""What an earlier run has left in a folder, while another one takes its place.

Nothing of it is removed: it is moved to `previous/<when it started>/`, which is a run folder too.
This takes two steps, since a run can still fail when it already stands described in `run.json` (a
wrong path, data that cannot be read): first the files that describe the earlier run step aside, and
only once the new run is sure to train its records and checkpoints follow.
"""

import json
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from rtdetr_nb.runs.records import Record

PREVIOUS_FOLDER = "previous"
_PENDING = "pending"
_DESCRIPTION = "run.json"  # `run_folder` names it, and imports this module


class PreviousRun:
    """The earlier run of a folder.

    Args:
        folder: of the run that takes its place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending = folder / PREVIOUS_FOLDER / _PENDING

    @property
    def is_in_place(self) -> bool:
        """Whether the records in the folder are still the earlier run's."""
        return self._pending.exists()

    def step_aside(self, descriptions: Iterable[str]) -> None:
        """Move the files that describe the run, the first step.

        What describes a run that never came to the second step, and so has no records, is removed.

        Raises:
            OSError: a file cannot be moved.
        """
        never_began = self.is_in_place
        for name in descriptions:
            file = self._folder / name
            if never_began:
                file.unlink(missing_ok=True)
            elif file.exists():
                self._move(file)

    def step_back(self) -> None:
        """Undo the first step: the new run could not be started.

        Raises:
            OSError: a file cannot be moved.
        """
        if self.is_in_place:
            for file in list(self._pending.iterdir()):
                file.replace(self._folder / file.name)
            self.forget()

    def keep(self, patterns: Iterable[str]) -> Path | None:
        """Move the records and checkpoints too, the second step.

        Returns:
            The earlier run's own folder; None if it has left nothing but its description.

        Raises:
            OSError: a file cannot be moved.
        """
        for pattern in patterns:
            for file in sorted(self._folder.glob(pattern)):
                self._move(file)
        # After a move that was interrupted some of them are there already.
        has_records = any(file for pattern in patterns for file in self._pending.glob(pattern))
        # What no run has left was put there by somebody's hand: a configuration.
        is_of_a_run = (self._pending / _DESCRIPTION).exists()
        if not has_records and (is_of_a_run or not self.is_in_place):
            self.forget()
            return None
        target = self._own_folder()
        self._pending.rename(target)
        return target

    def forget(self) -> None:
        """Remove what describes the earlier run: the new one goes on with its records."""
        if self.is_in_place:
            shutil.rmtree(self._pending)
            if not any(self._pending.parent.iterdir()):
                self._pending.parent.rmdir()

    def _move(self, file: Path) -> None:
        self._pending.mkdir(parents=True, exist_ok=True)
        file.rename(self._pending / file.name)

    def _own_folder(self) -> Path:
        """A new name, sorted by time."""
        started = read_json(self._pending / _DESCRIPTION).get("started")
        started = str(started or datetime.now().isoformat())[:19].replace(":", "-").replace("/", "")
        names = (started, *(f"{started}_{number}" for number in range(2, 1000)))
        return next(path for name in names if not (path := self._pending.with_name(name)).exists())


def read_json(path: Path) -> Record:
    """The object in a file; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
