"""Writing and reading `metrics.jsonl`, while a run writes it or later."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import RunError
from rtdetr_nb.files.json_file import as_number, to_json
from rtdetr_nb.runs.records import Record, StepRecord, as_record, is_step

_END_BYTES = 1 << 16  # where the last step is looked for; a record of predictions has about 10 kB


class RunRecords:
    """Writes the records of a run.

    Args:
        path: of `metrics.jsonl`; its folder has to exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, record: Record) -> None:
        """Add one line, with the time; a reader of whole lines sees all of it or nothing.

        Raises:
            OSError: it cannot be written.
        """
        line = to_json({"time": round(time.time(), 3), **record}) + "\n"
        # Opened for each line, so that it has left this process when a crash comes.
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line)

    def drop_partial_line(self) -> None:
        """Cut off the last line if its writer was killed in the middle of it.

        Raises:
            OSError: the file cannot be read or shortened.
        """
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            os.truncate(self._path, complete)


class RecordReader:
    """Reads a growing `metrics.jsonl`: each call returns what came since the last one.

    Only whole lines are taken, so a writer in the middle of a line does no harm. A file that became
    shorter, or another file in its place, is read from its start; `restarted` then says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarted = False
        self._offset = 0
        self._file_id: tuple[int, int] | None = None

    def read(self) -> list[Record]:
        """Return new records, in order; none if there is no file yet.

        Raises:
            RunError: a line is not a JSON object.
        """
        self.restarted = False
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                file_id = (status.st_dev, status.st_ino)
                if status.st_size < self._offset or self._file_id not in (None, file_id):
                    self._offset, self.restarted = 0, True
                self._file_id = file_id
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        return list(_parse(complete.splitlines(), self.path))


def read_records(path: Path) -> list[Record]:
    """Return all records of a `metrics.jsonl`, in order.

    Raises:
        RunError: a line is not a JSON object.
    """
    return RecordReader(path).read()


def read_last_step(path: Path) -> int | None:
    """Return the step of the last record of a step; None if none is near the end of the file.

    Only the end of the file is read, however long it is.
    """
    try:
        with open(path, "rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _END_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    whole = lines[:-1] if length <= _END_BYTES else lines[1:-1]
    try:
        return next((r["step"] for r in _parse(reversed(whole), path) if is_step(r)), None)
    except RunError:  # reading the records raises it
        return None


def _parse(lines: Iterable[bytes], path: Path) -> Iterator[Record]:
    for line in lines:
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except ValueError as error:
            raise RunError(f"{path} has a line that is not JSON: {line[:80]!r}.") from error
        if not isinstance(content, dict):
            raise RunError(f"{path} has a line that is not a JSON object: {line[:80]!r}.")
        record = as_record(content)
        yield _with_numbers(record) if is_step(record) else record


def _with_numbers(record: StepRecord) -> Record:
    """Turn the words of a step's record into numbers: it has no other words."""
    values: dict[str, Any] = {name: as_number(value) for name, value in record.items()}
    if "lr" in record:
        values["lr"] = [as_number(rate) for rate in record["lr"]]
    return as_record(values)
