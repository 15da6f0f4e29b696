import sys
from pathlib import Path
from typing import Any

import pytest

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.records import Record, as_record
from rtdetr_nb.training.tensorboard import open_summary


def step(number: int, loss: float) -> Record:
    values = {
        "step": number,
        "epoch": 0,
        "loss": loss,
        "loss_vfl": loss / 2,
        "lr": [1e-5, 1e-4],
        "grad_norm": 3.0,
        "seconds": 0.5,
        "data_seconds": 0.1,
    }
    return as_record(values)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads back."""
    accumulator: Any = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def test_records_become_events_under_the_official_names(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with open_summary(tmp_path, "epoches: 1") as add:
        add({"event": "start", "step": 0, "total_steps": 2})
        add(step(1, 4.0))
        add(step(2, 2.0))
        statistics = {"AP": 0.25, "AP_small": None}
        add({"event": "evaluation", "step": 2, "epoch": 1, "statistics": statistics})
    found = scalars(tmp_path)
    assert found["Loss/total"] == [(1, 4.0), (2, 2.0)]
    assert found["Loss/loss_vfl"] == [(1, 2.0), (2, 1.0)]
    assert found["Lr/pg_1"] == [(1, pytest.approx(1e-4)), (2, pytest.approx(1e-4))]
    assert found["Gradient/norm"] == [(1, 3.0), (2, 3.0)]
    assert found["Test/AP"] == [(2, 0.25)]
    assert set(found) == {"Loss/total", "Loss/loss_vfl", "Lr/pg_0", "Lr/pg_1", "Gradient/norm",
                          "Time/step", "Time/data", "Test/AP"}  # fmt: skip


def test_a_resumed_run_takes_back_what_it_trains_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with open_summary(tmp_path, "") as add:
        add({"event": "start", "step": 0})
        for number in (1, 2, 3):
            add(step(number, 10.0 + number))
    with open_summary(tmp_path, "") as add:
        add({"event": "start", "step": 2})
        add(step(3, 20.0))
    assert scalars(tmp_path)["Loss/total"] == [(1, 11.0), (2, 12.0), (3, 20.0)]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with open_summary(None, "") as add:
        add(step(1, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_one_sentence_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # its import fails
    entered = False
    with (
        pytest.raises(RunError, match="pip install tensorboard") as error,
        open_summary(tmp_path / "events", ""),
    ):
        entered = True
    assert not entered and error.value.exit_code == 2
    assert not (tmp_path / "events").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    (tmp_path / "file").touch()
    refused = pytest.raises(RunError, match=r"summary folder .*events cannot be written")
    with open_summary(tmp_path / "file" / "events", "") as add, refused:
        add(step(1, 1.0))
