"""Own counting of average precision, against the library's evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.detection.matching import (
    average_precision,
    match_detections,
)
from rtdetr_nb.diagnostics.detection.pictures import Detections, Pictures, read_pictures
from rtdetr_nb.diagnostics.measuring.resampling import resampled_weights
from tests.diagnostics.detection.conftest import SIDE, Edit


def guesses(truth: Pictures, seed: int, spread: float) -> list[Detections]:
    """True boxes moved about, some twice and some of another class, and boxes anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for boxes, labels in zip(truth.boxes_xyxy, truth.labels, strict=True):
        near = np.repeat(boxes.numpy(), 2, axis=0)
        near = near + rng.normal(0, spread, near.shape)
        low = rng.uniform(0, SIDE - 20, (4, 2))
        anywhere = np.concatenate([low, low + rng.uniform(8, 20, (4, 2))], axis=1)
        guessed = np.where(rng.random(len(near)) < 0.8, np.repeat(labels.numpy(), 2),
                           rng.integers(3, size=len(near)))  # fmt: skip
        both = np.concatenate([guessed, rng.integers(3, size=4)])
        # Few different scores, so that equal ones have to be put in the same order.
        scores = np.sort(rng.integers(1, 12, len(both)) / 12)[::-1].copy()
        rows = torch.tensor(np.concatenate([near, anywhere]), dtype=torch.float32)
        found.append(Detections(rows, torch.tensor(scores), torch.tensor(both)))
    return found


def add_crowds(content: dict[str, Any]) -> None:
    for image in range(0, 12, 2):
        content["annotations"].append(
            {"id": 1000 + image, "image_id": image, "category_id": image % 3,
             "bbox": [20, 8, 30, 40], "area": 1200, "iscrowd": 1}
        )  # fmt: skip


@pytest.mark.parametrize("with_crowds", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_each_picture_once_is_the_evaluation_of_the_library(
    config: Config, squares: Path, edit: Edit, seed: int, with_crowds: bool
) -> None:
    if with_crowds:
        edit(squares, "val", add_crowds)
    truth = read_pictures(config, squares, "val", SIDE, 99)
    assert sum(map(len, truth.crowds_xyxy)) == 6 * with_crowds
    found = guesses(truth, seed, spread=1.0 + seed)
    evaluation = truth.evaluate(found)
    ap, ap50 = average_precision(match_detections(found, truth), np.ones((1, len(truth))))
    assert 0.05 < evaluation.ap < 0.9
    assert ap[0] == pytest.approx(evaluation.ap, abs=1e-9)
    assert ap50[0] == pytest.approx(evaluation.statistics["AP50"], abs=1e-9)


def test_crowds_have_a_say(config: Config, squares: Path, edit: Edit) -> None:
    truth = read_pictures(config, squares, "val", SIDE, 99)
    found = guesses(truth, 0, 2.0)
    before = truth.evaluate(found).ap
    edit(squares, "val", add_crowds)
    assert read_pictures(config, squares, "val", SIDE, 99).evaluate(found).ap > before + 1e-3


def test_the_size_of_the_pictures_has_no_say(config: Config, squares: Path) -> None:
    small, large = (read_pictures(config, squares, "val", size, 99) for size in (SIDE, 2 * SIDE))
    found = guesses(small, 1, 2.0)
    doubled = [Detections(d.boxes_xyxy * 2, d.scores, d.labels) for d in found]
    assert large.evaluate(doubled).ap == pytest.approx(small.evaluate(found).ap, abs=1e-6)


def test_a_weight_is_how_often_a_picture_counts(config: Config, squares: Path) -> None:
    """Pictures of weight 0 are as good as absent."""
    truth = read_pictures(config, squares, "val", SIDE, 99)
    found = guesses(truth, 2, 2.0)
    weights = np.ones((1, len(truth)))
    weights[0, 6:] = 0
    part = Pictures(
        truth.images[:6], truth.boxes_xyxy[:6], truth.labels[:6], truth.crowds_xyxy[:6],
        truth.crowd_labels[:6], truth.sizes_wh[:6], truth.classes, truth.evaluate,
    )  # fmt: skip
    alone = average_precision(match_detections(found[:6], part), np.ones((1, 6)))
    weighted = average_precision(match_detections(found, truth), weights)
    np.testing.assert_allclose(weighted, alone, atol=1e-12)
    doubled = average_precision(match_detections(found, truth), 2 * np.ones((1, len(truth))))
    once = average_precision(match_detections(found, truth), np.ones((1, len(truth))))
    np.testing.assert_allclose(doubled, once, atol=1e-12)
    nothing = average_precision(match_detections(found, truth), np.zeros((1, len(truth))))
    assert np.isnan(nothing).all()


def test_true_boxes_are_worth_one_and_no_boxes_nothing(config: Config, squares: Path) -> None:
    truth = read_pictures(config, squares, "val", SIDE, 99)
    right = [Detections(boxes, torch.ones(len(boxes)), labels)
             for boxes, labels in zip(truth.boxes_xyxy, truth.labels, strict=True)]  # fmt: skip
    empty = Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64))
    sets = resampled_weights(len(truth), 100, seed=0)
    for found, expected in ((right, 1.0), ([empty] * len(truth), 0.0)):
        ap, ap50 = average_precision(match_detections(found, truth), sets)
        np.testing.assert_allclose(ap, expected, atol=1e-12)
        np.testing.assert_allclose(ap50, expected, atol=1e-12)


def test_sets_are_drawn_with_replacement() -> None:
    sets = resampled_weights(20, 500, seed=4)
    assert sets.shape == (500, 20) and (sets.sum(axis=1) == 20).all()
    assert np.array_equal(sets, resampled_weights(20, 500, seed=4))
    share_absent = (sets == 0).mean()
    assert share_absent == pytest.approx((1 - 1 / 20) ** 20, abs=0.02)
