"""The earlier run of a folder, while another one takes its place.

Its files are moved to `previous/<when it started>/`, which is a run folder too. This takes two
steps, since the new run can still fail when it is already described in `run.json` (a wrong path,
data that cannot be read): first the files that describe the earlier run are moved to
`previous/pending/`. Once the new run is sure to train, the results follow, and `pending` gets its
name. Where there are no results to keep (the new run resumes the earlier one, or the earlier one
never trained), its description is removed, and nothing else ever is.
"""

import itertools
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.runs.file_names import DESCRIPTIONS, PREVIOUS_FOLDER, RESULTS, RUN_FILE

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
