import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.records import (
    Record,
    RecordReader,
    events,
    history_table,
    read_records,
    without_abandoned,
)


def _step(step: int, loss: float = 1.0) -> dict[str, object]:
    return {"step": step, "epoch": 0, "loss": loss, "loss_vfl": loss / 2, "lr": [0.1, 0.2]}


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_reader_returns_every_record_once_wherever_the_writer_was(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    records = [_step(step) for step in range(5)]
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    reader = RecordReader(path)
    found = []
    for cut in [*sorted(cuts), len(content)]:
        path.write_bytes(content[:cut])
        found += reader.read()
    assert found == records


def test_reader_starts_over_when_the_file_was_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(_step(step)) + "\n" for step in range(3)))
    reader = RecordReader(path)
    assert len(reader.read()) == 3 and not reader.restarted
    path.write_text(json.dumps(_step(9)) + "\n")
    assert [record["step"] for record in reader.read()] == [9]
    assert reader.restarted


def test_reader_knows_another_file_in_its_place_also_if_it_is_longer(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(_step(1)) + "\n")
    reader = RecordReader(path)
    assert len(reader.read()) == 1
    path.rename(tmp_path / "kept.jsonl")  # as a new run does
    assert reader.read() == []
    path.write_text("".join(json.dumps(_step(step, 7.0)) + "\n" for step in (1, 2, 3)))
    assert [record["loss"] for record in reader.read()] == [7.0] * 3
    assert reader.restarted
    with open(path, "a") as file:
        file.write(json.dumps(_step(4)) + "\n")
    assert [record["step"] for record in reader.read()] == [4] and not reader.restarted


def test_no_file_yet_is_no_record(tmp_path: Path) -> None:
    assert read_records(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("line", ["not json", "[1, 2]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RunError, match="metrics.jsonl has a line that is no JSON"):
        read_records(path)


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
        return {"event": "evaluation", "step": step, "name": name}

    start = {"event": "start", "step": 0}
    abandoned = [_step(3, 9.0), _step(4, 9.0), evaluation(4, "abandoned"), _step(5, 9.0)]
    before = [start, _step(1), _step(2), evaluation(2, "kept")]
    again = [{"event": "start", "step": 2}, _step(3, 2.0), evaluation(3, "new")]
    records = [*before, *abandoned, *again]
    assert without_abandoned(records) == [*before, *again]
    assert without_abandoned(records[:-2]) == [*before, again[0]]  # before its first step
    assert list(history_table(records)["loss"]) == [1.0, 1.0, 2.0]
    # Where no start is recorded the steps tell it; the evaluation behind step 2 goes with it.
    assert without_abandoned([*before, _step(2)]) == [start, _step(1), _step(2)]


def test_numbers_that_json_has_not_are_numbers_again() -> None:
    table = history_table([_step(1) | {"grad_norm": "inf"}, _step(2) | {"grad_norm": 0.5}])
    assert table["grad_norm"].dtype == float
    assert table["grad_norm"].tolist() == [float("inf"), 0.5]
    table = history_table([_step(1) | {"loss": "nan", "lr": ["-inf"]}])
    assert table["loss"].isna().all() and table["lr_0"].tolist() == [float("-inf")]


def test_an_empty_table_still_has_its_columns() -> None:
    table = history_table([{"event": "start", "step": 0}])
    assert len(table) == 0 and "loss" in table.columns and table.index.name == "step"


def test_events_by_kind() -> None:
    records = [{"event": "start", "step": 0}, _step(1), {"event": "evaluation", "step": 1}]
    assert events(records, "evaluation") == [records[2]]
