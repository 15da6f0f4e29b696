"""Lines that several processes have cut or mixed, and what the reader makes of them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.errors import RunError
from rtdetr_nb.official.log import OfficialLogReader, read_official_log
from rtdetr_nb.runs.records import events, is_step

STEP = "Epoch: [0]  [ 3/8]  eta: 0:00:04  lr: 0.000050  loss: 42.5 (43.5)  loss_vfl: 0.5 (0.6)"
LOAD = "Load model.state_dict, {'missed': ['a', 'b'], 'unmatched': []}"


def records_of(*lines: str) -> list[Any]:
    reader = OfficialLogReader()
    return [record for line in lines for record in reader.read(line)]


@pytest.mark.parametrize(
    "line",
    [
        STEP.replace("42.5", "42.5Epoch:"),
        STEP.replace("(43.5)", "(4x)"),
        STEP.replace("[ 3/8]", "[ 33/8]"),  # the digits of two processes
        STEP[: STEP.index("loss")],
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.0.1",
    ],
)
def test_a_damaged_line_is_one_finding_and_no_record(line: str) -> None:
    finding, start, step = records_of(line, line, STEP)
    assert finding["event"] == "finding" and finding["level"] == "note"
    assert "cannot be read" in finding["what"]
    assert start["event"] == "start" and step["loss"] == 42.5 and step["step"] == 4


@pytest.mark.parametrize(
    "damaged",
    [
        LOAD[:-10],
        LOAD.replace("'b'", "'b"),
        LOAD.replace("'missed'", "'mis'"),
        LOAD.replace("['a', 'b']", "3"),
        LOAD[: LOAD.index("{")] + "(" * 2000,
    ],
)
def test_a_damaged_load_line_is_a_warning(damaged: str) -> None:
    (finding,) = records_of(damaged)
    assert finding["event"] == "finding" and finding["level"] == "warning"
    assert "is not known" in finding["what"] and len(finding["what"]) < 200
    (record,) = records_of(LOAD)
    assert (record["missed"], record["unmatched"]) == (["a", "b"], [])


@given(
    st.lists(
        st.tuples(st.sampled_from([STEP, LOAD]), st.integers(0, 90), st.integers(0, 90)), max_size=4
    )
)
def test_no_mixture_of_lines_raises(pieces: list[tuple[str, int, int]]) -> None:
    line = "".join(text[start:end] for text, start, end in pieces)
    for record in [*records_of(line), *records_of(STEP[:30] + line), *records_of(LOAD[:30] + line)]:
        assert not is_step(record) or isinstance(record["loss"], float)


def test_a_log_with_damaged_lines_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(f"{LOAD[:-9]}\n{STEP}\n{STEP[:40]}\n")
    records = read_official_log(path)
    assert [record["step"] for record in records if is_step(record)] == [4]
    assert len(events(records, "finding")) == 2


@pytest.mark.parametrize("figures", ["[0.1]", "7", '["a"]'])
def test_a_log_txt_with_damaged_figures_is_refused(tmp_path: Path, figures: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(f'{{"epoch": 0, "train_loss": 1.5, "test_coco_eval_bbox": {figures}}}\n')
    with pytest.raises(RunError, match=r"is not a log\.txt of the official code"):
        read_official_log(path)
