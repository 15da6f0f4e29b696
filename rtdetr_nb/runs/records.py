"""Reading what a run has recorded, while it runs or later."""

import json
import os
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import RunError

Record = dict[str, Any]

EVALUATING = "evaluating"  # how far an evaluation is: `done` pictures `of` so many

# JSON has no such numbers: a run writes them as these words.
_NOT_FINITE = ("inf", "-inf", "nan")


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
        """New records, in order; none if there is no file yet.

        Raises:
            RunError: a line is no JSON object.
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
        return [self._parse(line) for line in complete.splitlines() if line.strip()]

    def _parse(self, line: bytes) -> Record:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RunError(f"{self.path} has a line that is no JSON: {line[:80]!r}.") from error
        if not isinstance(record, dict):
            raise RunError(f"{self.path} has a line that is no JSON object: {line[:80]!r}.")
        return record


def read_records(path: Path) -> list[Record]:
    """All records of a `metrics.jsonl`, in order."""
    return RecordReader(path).read()


def is_step(record: Record) -> bool:
    """Whether a record is one of a training step; any other has `event`."""
    return "event" not in record and "step" in record


def events(records: list[Record], kind: str) -> list[Record]:
    """The records of one kind of event."""
    return [record for record in records if record.get("event") == kind]


def without_abandoned(records: list[Record]) -> list[Record]:
    """The records that led to where the run stands now, in order.

    A run that was resumed from an older checkpoint has abandoned what it had done since: those
    steps, and the evaluations and other events behind them, are left out. That it was started stays
    known.
    """
    kept: list[Record] = []
    reached = 0
    for record in records:
        starts = record.get("event") == "start"
        if (starts or is_step(record)) and "step" in record:
            first = record["step"] + starts  # of what is trained anew
            if first <= reached:
                kept = [r for r in kept if r.get("event") == "start" or r.get("step", 0) < first]
            reached = record["step"]
        kept.append(record)
    return kept


def history_table(records: list[Record]) -> Any:
    """The training steps as a pandas DataFrame, one row a step, indexed by `step`.

    Columns as in the records, with `lr` spread over `lr_0`, `lr_1`, ...; infinite and undefined
    values are numbers again. Steps that a resumed run has abandoned are left out; see
    `without_abandoned`.
    """
    import pandas as pd

    rows = []
    for record in filter(is_step, without_abandoned(records)):
        row = {name: value for name, value in record.items() if name != "lr"}
        row |= {f"lr_{i}": rate for i, rate in enumerate(record.get("lr", []))}
        rows.append({name: _number(value) for name, value in row.items()})
    if not rows:
        return pd.DataFrame(columns=["epoch", "loss"], index=pd.Index([], name="step"))
    return pd.DataFrame(rows).set_index("step")


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value in _NOT_FINITE else value
