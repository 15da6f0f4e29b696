"""The earlier run of a folder, while another one takes its place.

Its files are moved to `previous/<when it started>/`, which is a run folder too. This takes two
steps, since the new run can still fail when it is already described in `run.json` (a wrong path,
data that cannot be read): first the files that describe the earlier run are moved to
`previous/pending/`. Once the new run is sure to train, the results follow, and `pending` gets its
name. Where there are no results to keep (the new run resumes the earlier one, or the earlier one
never trained), its description is removed, and nothing else ever is.

A run can also fail before it records (a wrong path), at its first step (no memory) or be killed
there. Then it has nothing to keep, and `restore_earlier_run` gives the earlier one its place again.
"""

import itertools
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rtdetr_nb.errors import RunError
from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.runs.file_names import (
    DESCRIPTIONS,
    METRICS_FILE,
    PREVIOUS_FOLDER,
    REQUEST_FILE,
    RESULTS,
    RUN_FILE,
)
from rtdetr_nb.runs.record_file import read_last_step, read_records
from rtdetr_nb.runs.records import is_step

if TYPE_CHECKING:
    from rtdetr_nb.runs.run import RunSnapshot

EARLIER_IS_KEPT = "The run before it is kept: run.restore_earlier() puts it back in its place."
_PENDING = "pending"


class PreviousRun:
    """The earlier run of a folder.

    Args:
        folder: of the run that takes its place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending = folder / PREVIOUS_FOLDER / _PENDING

    @property
    def owns_results(self) -> bool:
        """Whether the results in the folder are still the earlier run's."""
        return self._pending.exists()

    def move_description_away(self, names: Iterable[str]) -> None:
        """Move the files that describe the run, the first step.

        If the first step was taken before, the description is that of a run which never began, and
        so has no results: it is removed.

        Args:
            names: of the files.

        Raises:
            OSError: a file cannot be moved.
        """
        never_began = self.owns_results
        for name in names:
            file = self._folder / name
            if never_began:
                file.unlink(missing_ok=True)
            elif file.exists():
                self._move(file)

    def move_description_back(self) -> None:
        """Undo the first step: the new run could not be started.

        Raises:
            OSError: a file cannot be moved.
        """
        if self.owns_results:
            for file in list(self._pending.iterdir()):
                file.replace(self._folder / file.name)
            self._remove_pending()

    def move_results_away(self) -> Path | None:
        """Move the results too, the second step.

        Returns:
            The earlier run's new folder; None if it has left nothing but its description, which is
            then removed.

        Raises:
            OSError: a file cannot be moved.
        """
        for pattern in RESULTS:
            for file in sorted(self._folder.glob(pattern)):
                self._move(file)
        return self._name_or_remove_pending()

    def leave_results(self) -> Path | None:
        """Let the new run go on with the results, the second step of a run that resumes.

        Only the moved description is removed.

        Returns:
            Where the files are that do not belong to a description, such as results whose move was
            interrupted; None if no such file is there.

        Raises:
            OSError: a file cannot be moved or removed.
        """
        return self._name_or_remove_pending()

    def _name_or_remove_pending(self) -> Path | None:
        if not self.owns_results:
            return None
        names = {file.name for file in self._pending.iterdir()}
        # Without `run.json` no run has left the files: a configuration that the user has written.
        if not names or RUN_FILE in names and names <= set(DESCRIPTIONS):
            self._remove_pending()
            return None
        target = self._new_folder()
        self._pending.rename(target)
        return target

    def _remove_pending(self) -> None:
        for name in DESCRIPTIONS:
            (self._pending / name).unlink(missing_ok=True)
        self._pending.rmdir()
        if not any(self._pending.parent.iterdir()):
            self._pending.parent.rmdir()

    def _move(self, file: Path) -> None:
        self._pending.mkdir(parents=True, exist_ok=True)
        file.rename(self._pending / file.name)

    def _new_folder(self) -> Path:
        """Return a free name that sorts by time."""
        started = read_json(self._pending / RUN_FILE).get("started")
        started = str(started or datetime.now().isoformat())[:19].replace(":", "-").replace("/", "")
        names = (f"{started}_{number}" for number in itertools.count(2))
        paths = (self._pending.with_name(name) for name in itertools.chain([started], names))
        return next(path for path in paths if not path.exists())


def earlier_run(folder: Path, seen: "RunSnapshot") -> Path | None:
    """Return where the earlier run's description lies, if the one in its place made no step.

    Args:
        folder: of both.
        seen: what the folder says of the run in its place; unless that has failed there is none.
    """
    if not seen.failed:
        return None
    if PreviousRun(folder).owns_results:
        # Of a run that goes on with its own results there is no earlier one.
        pending = folder / PREVIOUS_FOLDER / _PENDING
        return None if seen.owns_records or not (pending / RUN_FILE).is_file() else pending
    name = seen.description.get("replaced")
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


def restore_earlier_run(folder: Path, seen: "RunSnapshot") -> bool:
    """Put the earlier run back, and remove what the one without a step has written.

    The arguments are those of `earlier_run`.

    Returns:
        Whether there was one.

    Raises:
        OSError: a file cannot be moved.
    """
    kept = earlier_run(folder, seen)
    if kept is None:
        return False
    for pattern in (REQUEST_FILE, *(RESULTS if seen.owns_records else ())):
        for file in folder.glob(pattern):
            file.unlink()
    for file in sorted(kept.iterdir()):
        file.replace(folder / file.name)
    kept.rmdir()
    if not any(kept.parent.iterdir()):
        kept.parent.rmdir()
    return True
