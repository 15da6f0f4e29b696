"""Which records count after a resume, and the table of the steps."""

import math

from rtdetr_nb.runs.history import AbandonedSteps, history_table, without_abandoned
from rtdetr_nb.runs.records import Record, as_record


def _step(step: int, loss: float = 1.0) -> Record:
    values = {"step": step, "epoch": 0, "loss": loss, "loss_vfl": loss / 2, "lr": [0.1, 0.2]}
    return as_record(values)


def test_table_has_steps_only_and_spreads_the_learning_rates() -> None:
    table = history_table([{"event": "start", "step": 0}, _step(1, 3.0), _step(2, 2.0)])
    assert list(table.index) == [1, 2]
    assert table.index.name == "step"
    assert table["loss"].tolist() == [3.0, 2.0]
    assert table["lr_1"].tolist() == [0.2, 0.2]
    assert "event" not in table.columns and "lr" not in table.columns


def test_a_step_that_was_trained_twice_keeps_its_last_record() -> None:
    table = history_table([_step(1, 5.0), _step(2, 4.0), _step(2, 3.0), _step(3, 1.0)])
    assert table["loss"].tolist() == [5.0, 3.0, 1.0]


def test_what_a_run_resumed_from_an_older_checkpoint_has_abandoned_is_left_out() -> None:
    def evaluation(step: int, name: str) -> Record:
        return as_record({"event": "evaluation", "step": step, "name": name})

    start: Record = {"event": "start", "step": 0}
    abandoned = [_step(3, 9.0), _step(4, 9.0), evaluation(4, "abandoned"), _step(5, 9.0)]
    before = [start, _step(1), _step(2), evaluation(2, "kept")]
    again: list[Record] = [{"event": "start", "step": 2}, _step(3, 2.0), evaluation(3, "new")]
    records = [*before, *abandoned, *again]
    assert without_abandoned(records) == [*before, *again]
    assert without_abandoned(records[:-2]) == [*before, again[0]]  # before its first step
    assert list(history_table(records)["loss"]) == [1.0, 1.0, 2.0]
    # Without a record of the start the steps tell it; the evaluation behind step 2 goes with it.
    assert without_abandoned([*before, _step(2)]) == [start, _step(1), _step(2)]


def test_an_empty_table_still_has_its_columns() -> None:
    table = history_table([{"event": "start", "step": 0}])
    assert len(table) == 0 and "loss" in table.columns and table.index.name == "step"


def test_the_rule_of_abandoned_steps() -> None:
    rule = AbandonedSteps()
    start: Record = {"event": "start", "step": 2}
    found = [rule.first_abandoned_by(r) for r in (_step(1), _step(4), start, _step(3), _step(3))]
    assert found == [None, None, 3, None, 3]
    assert rule.first_abandoned_by({"event": "end", "step": 1}) is None
    # In a new process nobody knows how far the run had come.
    assert AbandonedSteps(math.inf).first_abandoned_by(start) == 3


def test_numbers_that_are_not_finite_stay_numbers() -> None:
    table = history_table([_step(1, math.inf), _step(2, math.nan)])
    assert table["loss"].dtype == float
    assert table["loss"][1] == math.inf and math.isnan(table["loss"][2])
