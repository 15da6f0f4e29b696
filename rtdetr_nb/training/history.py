"""Reading what a run has recorded, while it runs or later."""

import json
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import RunError

Record = dict[str, Any]

# The figures of an evaluation, in the order of the COCO summary.
STATISTICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
# JSON has no such numbers: a run writes them as these words.
_NOT_FINITE = ("inf", "-inf", "nan")


class RecordReader:
    """Reads a growing `metrics.jsonl`: each call returns what came since the last one.

    Only whole lines are taken, so a writer in the middle of a line does no harm. A file that became
    shorter was begun anew and is read from its start; `restarted` then says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarted = False
        self._offset = 0

    def read(self) -> list[Record]:
        """New records, in order; none if there is no file yet.

        Raises:
            RunError: a line is no JSON object.
        """
        self.restarted = False
        try:
            with open(self.path, "rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset, self.restarted = 0, True
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


def history_table(records: list[Record]) -> Any:
    """The training steps as a pandas DataFrame, one row a step, indexed by `step`.

    Columns as in the records, with `lr` spread over `lr_0`, `lr_1`, ...; infinite and undefined
    values are numbers again. A step that was trained twice, because the run was resumed from before
    it, keeps its last record.
    """
    import pandas as pd

    rows = []
    for record in filter(is_step, records):
        row = {name: value for name, value in record.items() if name != "lr"}
        row |= {f"lr_{i}": rate for i, rate in enumerate(record.get("lr", []))}
        rows.append({name: _number(value) for name, value in row.items()})
    if not rows:
        return pd.DataFrame(columns=["epoch", "loss"], index=pd.Index([], name="step"))
    table = pd.DataFrame(rows).set_index("step")
    return table[~table.index.duplicated(keep="last")].sort_index()


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value in _NOT_FINITE else value
