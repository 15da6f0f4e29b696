"""Which records of a run count: those that led to where it stands now.

A run that was resumed from an older checkpoint has abandoned what it had done since. The file of
records keeps the abandoned steps; `AbandonedSteps` is the one rule by which they are left out, in
tables, plots and TensorBoard alike.
"""

from typing import Any

from rtdetr_nb.runs.records import Record, is_step


class AbandonedSteps:
    """Takes the records of a run in order and says which of the earlier ones each abandons.

    A record of a start at step N abandons the steps behind N. Without one, a step that was trained
    before abandons its first record and all behind it. Evaluations and other events are abandoned
    together with the step at which they happened; records of starts are not.

    Args:
        reached: the last step before the first record; infinity if it is not known.
    """

    def __init__(self, reached: float = 0) -> None:
        self._reached = reached

    def first_abandoned_by(self, record: Record) -> int | None:
        """Return the first step that is abandoned, with all behind it; None if no step is."""
        if "step" not in record:
            return None
        if is_step(record):
            first = record["step"]
        elif record.get("event") == "start":
            first = record["step"] + 1
        else:
            return None
        going_back = first <= self._reached
        self._reached = record["step"]
        return first if going_back else None


def is_kept(record: Record, first_abandoned: int) -> bool:
    """Return whether an earlier record stays when the steps from `first_abandoned` on do not."""
    return record.get("event") == "start" or record.get("step", 0) < first_abandoned


def without_abandoned(records: list[Record]) -> list[Record]:
    """Return the records that led to where the run stands now, in order."""
    rule = AbandonedSteps()
    kept: list[Record] = []
    for record in records:
        first = rule.first_abandoned_by(record)
        if first is not None:
            kept = [earlier for earlier in kept if is_kept(earlier, first)]
        kept.append(record)
    return kept


def history_table(records: list[Record]) -> Any:
    """Return the training steps as a pandas DataFrame, one row a step, indexed by `step`.

    Columns as in `StepRecord`, with `lr` spread over `lr_0`, `lr_1`, ... Steps that a resumed run
    has abandoned are left out.
    """
    import pandas as pd

    rows = []
    for record in filter(is_step, without_abandoned(records)):
        row: dict[str, Any] = {name: value for name, value in record.items() if name != "lr"}
        rows.append(row | {f"lr_{i}": rate for i, rate in enumerate(record.get("lr", []))})
    if not rows:
        return pd.DataFrame(columns=["epoch", "loss"], index=pd.Index([], name="step"))
    return pd.DataFrame(rows).set_index("step")
