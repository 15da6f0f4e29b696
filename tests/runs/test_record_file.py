"""Records are written whole and read while they are written."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.record_file import RecordReader, RunRecords, read_last_step, read_records


def _step(step: int, loss: float = 1.0) -> dict[str, object]:
    return {"step": step, "epoch": 0, "loss": loss, "loss_vfl": loss / 2, "lr": [0.1, 0.2]}


def _read(reader: RecordReader) -> list[Any]:
    return list(reader.read())


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
    assert [record["step"] for record in _read(reader)] == [9]
    assert reader.restarted


def test_reader_knows_another_file_in_its_place_also_if_it_is_longer(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(_step(1)) + "\n")
    reader = RecordReader(path)
    assert len(reader.read()) == 1
    path.rename(tmp_path / "kept.jsonl")  # as a new run does
    assert reader.read() == []
    path.write_text("".join(json.dumps(_step(step, 7.0)) + "\n" for step in (1, 2, 3)))
    assert [record["loss"] for record in _read(reader)] == [7.0] * 3
    assert reader.restarted
    with open(path, "a") as file:
        file.write(json.dumps(_step(4)) + "\n")
    assert [record["step"] for record in _read(reader)] == [4] and not reader.restarted


def test_no_file_yet_is_no_record(tmp_path: Path) -> None:
    assert read_records(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("line", ["not json", "[1, 2]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RunError, match="metrics.jsonl has a line that is not (a )?JSON"):
        read_records(path)


def test_numbers_that_json_does_not_have_are_numbers_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = RunRecords(path)
    file.append({"step": 1, "loss": math.inf, "lr": [-math.inf, 0.5], "grad_norm": math.nan})
    # Outside of steps the same words may be names.
    file.append({"event": "error", "message": "nan", "type": "inf"})
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    records: list[Any] = list(read_records(path))
    step, error = records
    assert (step["loss"], step["lr"]) == (math.inf, [-math.inf, 0.5])
    assert math.isnan(step["grad_norm"])
    assert (error["message"], error["type"]) == ("nan", "inf")


def test_a_line_whose_writer_was_killed_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = RunRecords(path)
    file.drop_partial_line()
    assert not path.exists()
    file.append({"step": 1, "loss": 2.0})
    whole = path.read_bytes()
    for rest in (b"", b'{"step": 2, "lo'):
        path.write_bytes(whole + rest)
        file.drop_partial_line()
        assert path.read_bytes() == whole


def test_the_last_step_is_found_at_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_last_step(path) is None
    file = RunRecords(path)
    file.append({"event": "start", "step": 7})
    assert read_last_step(path) is None
    file.append({"step": 8, "loss": 1.0})
    file.append({"event": "end", "step": 8})
    assert read_last_step(path) == 8
