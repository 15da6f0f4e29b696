"""The training loop by itself, within this process."""

from pathlib import Path

import pytest

from rtdetr_nb.runs.records import Record
from rtdetr_nb.training.assembly import TrainingOptions
from rtdetr_nb.training.loop import train
from tests.small_runs import narrow_backbone, narrow_config


@pytest.mark.slow
def test_the_best_state_that_is_also_the_last_is_kept_once(
    shapes_folder: Path, tmp_path: Path
) -> None:
    config = narrow_config(shapes_folder, "epoches=1")
    best, last = tmp_path / "best.pth", tmp_path / "last.pth"
    with narrow_backbone():
        list(train(config, TrainingOptions(tmp_path)))
        assert best.samefile(last)
        before = best.read_bytes()
        more = narrow_config(shapes_folder, "epoches=2", "eval_freq=5")
        resumed = list(train(more, TrainingOptions(tmp_path, resume=last, max_steps=5)))
    assert resumed[-1].get("step") == 5
    is_best = any(record.get("file") == "best.pth" for record in resumed)
    assert best.samefile(last) == is_best
    assert (best.read_bytes() == before) != is_best, "a later state leaves the best alone"


@pytest.mark.slow
@pytest.mark.parametrize("last", [False, True], ids=["behind an epoch", "at the end"])
def test_a_stop_gives_up_an_evaluation_and_who_resumes_makes_up_for_it(
    shapes_folder: Path, tmp_path: Path, last: bool
) -> None:
    epochs, every = (1, 5) if last else (2, 1)
    config = narrow_config(shapes_folder, f"epoches={epochs}", f"eval_freq={every}")
    checkpoint = tmp_path / "last.pth"
    asked_at: list[int] = []
    records: list[Record] = []

    def stop_requested() -> bool:
        # All 4 steps of the epoch, and what asks when no step was made since: an evaluation.
        step = records[-1].get("step", 0)
        asked_at.append(step)
        return asked_at.count(4) == 2

    with narrow_backbone():
        for record in train(config, TrainingOptions(tmp_path, stop_requested=stop_requested)):
            records.append(record)
        kinds = [record.get("event", "step") for record in records if record.get("step") == 4]
        assert kinds == ["step", "checkpoint", "checkpoint", "stop"]
        resumed = list(train(config, TrainingOptions(tmp_path, resume=checkpoint)))
    kinds = [record.get("event", "step") for record in resumed if record.get("step") == 4]
    assert "evaluation" in kinds and "step" not in kinds
    assert resumed[-1] == {"event": "end", "step": 4 if last else 8}
