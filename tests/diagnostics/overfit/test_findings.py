"""Each finding on records that have it, and on sound ones."""

from typing import Any

import pytest

from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.diagnostics.overfit.findings import OVERFIT_CHECKS
from rtdetr_nb.diagnostics.overfit.judge import compare_boxes
from rtdetr_nb.diagnostics.overfit.outcome import Outcome
from rtdetr_nb.diagnostics.overfit.overfit import OverfitPlan, plan_overfit
from rtdetr_nb.diagnostics.overfit.report import LearntPicture, Look
from rtdetr_nb.diagnostics.overfit.setting import Lesson, rate_factor
from rtdetr_nb.runs.records import PredictedPicture
from tests.diagnostics.overfit.learning import outcome_of, thin_config

ROWS = (LearntPicture("a.jpg", 3, 2, 1, 0),)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> OverfitPlan:
    folder = tmp_path_factory.mktemp("plan")
    data = write_shapes_dataset(folder / "data", num_train=24, num_val=1, seed=7)
    return plan_overfit(thin_config(data), None, Lesson(pictures=2), folder / "run")


def steps(first: float, last: float, rates: tuple[float, ...] = (1e-4, 4e-4)) -> tuple[Any, ...]:
    """Records of 40 steps whose losses go straight from one value to the other."""
    losses = [first + (last - first) * place / 39 for place in range(40)]
    return tuple(
        {
            "step": place,
            "loss": loss,
            "loss_vfl": loss / 2,
            "loss_giou": loss / 2,
            "lr": list(rates),
        }
        for place, loss in enumerate(losses, start=1)
    )


def looks(*aps: float) -> tuple[Look, ...]:
    return tuple(Look(20 * place, ap, ap, 1.0) for place, ap in enumerate(aps, start=1))


def found(outcome: Outcome) -> dict[str, str]:
    return {check.name: str(f) for check in OVERFIT_CHECKS for f in check(outcome)}


def test_what_is_learnt_has_no_finding(plan: OverfitPlan) -> None:
    assert found(outcome_of(plan, looks=looks(0.4, 0.95), steps=steps(30, 8), rows=ROWS)) == {}


def test_not_learnt_says_what_remains(plan: OverfitPlan) -> None:
    outcome = outcome_of(plan, looks=looks(0.5, 0.51), steps=steps(30, 8), rows=ROWS)
    (name, text), *others = found(outcome).items()
    assert name == "not learnt" and not others
    assert "Of 3 boxes 2 are known, 1 have another name" in text


def test_still_learning_is_a_warning_and_asks_for_steps(plan: OverfitPlan) -> None:
    outcome = outcome_of(plan, looks=looks(0.5, 0.7), steps=steps(30, 8), rows=ROWS)
    assert list(found(outcome)) == ["still learning"]
    assert "steps=400" in found(outcome)["still learning"]


@pytest.mark.parametrize(
    ("last", "expected"), [(29.5, ["loss does not fall"]), (20, ["not learnt"])]
)
def test_a_loss_that_does_not_fall_is_told(
    plan: OverfitPlan, last: float, expected: list[str]
) -> None:
    outcome = outcome_of(plan, looks=looks(0.0, 0.0), steps=steps(30, last), rows=ROWS)
    assert list(found(outcome)) == expected


def test_rates(plan: OverfitPlan) -> None:
    none = outcome_of(plan, looks=looks(0.0, 0.0), steps=steps(30, 30, (0.0, 0.0)), rows=ROWS)
    assert list(found(none)) == ["rates are zero"]
    one = outcome_of(plan, looks=looks(0.5, 0.95), steps=steps(30, 8, (0.0, 1e-4)), rows=ROWS)
    assert list(found(one)) == ["groups stand still"] and "group 0" in str(found(one))


def test_a_run_that_failed_or_was_stopped(plan: OverfitPlan) -> None:
    failed = outcome_of(plan, status="failed", error="The memory is used up.\nlog", steps=())
    assert found(failed) == {"run failed": "The memory is used up. Mend this first."}
    stopped = outcome_of(plan, status="stopped", looks=looks(0.3), steps=steps(30, 20))
    assert list(found(stopped)) == ["run stopped"]
    assert found(outcome_of(plan, status="stopped", looks=looks(0.95), steps=steps(30, 8))) == {}


def picture(boxes: list[list[float]], labels: list[str]) -> PredictedPicture:
    return {
        "image_id": 1,
        "file": "/data/a.jpg",
        "size": [100, 100],
        "true_boxes": [[0, 0, 40, 40], [50, 50, 90, 90]],
        "true_labels": ["ring", "disc"],
        "boxes": boxes,
        "labels": labels,
        "scores": [0.9] * len(boxes),
    }


@pytest.mark.parametrize(
    ("boxes", "labels", "expected"),
    [
        ([[0, 0, 40, 40], [50, 50, 90, 90]], ["ring", "disc"], (2, 0, 0)),
        ([[0, 0, 40, 40], [50, 50, 90, 90]], ["disc", "ring"], (0, 2, 0)),
        # The second detection stands for no box: the first one has it.
        ([[0, 0, 40, 40], [1, 0, 40, 40]], ["ring", "ring"], (1, 0, 1)),
        # Only as many as there are boxes count.
        ([[0, 0, 9, 9], [0, 9, 9, 18], [0, 0, 40, 40]], ["ring", "ring", "ring"], (0, 0, 2)),
        ([], [], (0, 0, 2)),
    ],
)
def test_boxes_are_known_have_another_name_or_are_missed(
    boxes: list[list[float]], labels: list[str], expected: tuple[int, int, int]
) -> None:
    row = compare_boxes(picture(boxes, labels))
    assert (row.file, row.boxes) == ("a.jpg", 2)
    assert (row.known, row.other_name, row.missed) == expected


@pytest.mark.parametrize(("rates", "factor"), [((1e-4, 5e-6), 4), ((1e-8, 0), 10), ((0, 0), 1)])
def test_rates_are_multiplied_by_one_number(
    plan: OverfitPlan, rates: tuple[float, float], factor: float
) -> None:
    settings = [f"optimizer.lr={rates[0]:.9f}", f"optimizer.params.0.lr={rates[1]:.9f}"]
    assert rate_factor(plan.config.override(settings)) == pytest.approx(factor)
