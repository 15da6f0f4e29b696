"""The matcher: the cheapest assignment, found otherwise by trying all of them."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from rtdetr_nb.training.losses.matcher import HungarianMatcher, Matches, Predictions

MATCHER = HungarianMatcher(
    cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, use_focal_loss=True, alpha=0.25, gamma=2.0
)


def draw(seed: int, layers: int, queries: int, counts: list[int], classes: int = 4):
    """Logits (L, B, Q, C), boxes (L, B, Q, 4) and targets."""
    torch.manual_seed(seed)
    shape = (layers, len(counts), queries)
    logits = torch.randn(*shape, classes, dtype=torch.float64) * 2
    boxes = torch.rand(*shape, 4, dtype=torch.float64) * 0.5 + 0.1
    targets = [
        {
            "labels": torch.randint(0, classes, (count,)),
            "boxes": torch.rand(count, 4, dtype=torch.float64) * 0.5 + 0.1,
        }
        for count in counts
    ]
    return logits, boxes, targets


def costs_by_hand(
    matcher: HungarianMatcher, logits: Tensor, boxes: Tensor, target: dict[str, Tensor]
) -> Tensor:
    """(Q, n) for one layer and image, from the formulas."""
    if matcher.use_focal_loss:
        p = logits.sigmoid()[:, target["labels"]]
        is_class = matcher.alpha * (1 - p) ** matcher.gamma * -(p + 1e-8).log()
        is_not = (1 - matcher.alpha) * p**matcher.gamma * -(1 - p + 1e-8).log()
        class_cost = is_class - is_not
    else:
        class_cost = -logits.softmax(-1)[:, target["labels"]]
    corners = [box_convert(x, "cxcywh", "xyxy") for x in (boxes, target["boxes"])]
    return (
        matcher.cost_class * class_cost
        + matcher.cost_bbox * torch.cdist(boxes, target["boxes"], p=1)
        - matcher.cost_giou * generalized_box_iou(*corners)
    )


def cheapest(costs: Tensor) -> float:
    """The cost of the best one-to-one assignment, by trying all of them."""
    table = costs if costs.shape[0] >= costs.shape[1] else costs.T
    rows, columns = table.shape
    return min(
        sum(table[row, column].item() for column, row in enumerate(chosen))
        for chosen in permutations(range(rows), columns)
    )


def pairs_of(matches: Matches, layer: int, image: int, first_target: int) -> list[tuple[int, int]]:
    here = (matches.layer == layer) & (matches.image == image)
    queries, targets = matches.query[here].tolist(), matches.target[here].tolist()
    return [(q, t - first_target) for q, t in zip(queries, targets, strict=True)]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(1, 5),
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    layers=st.integers(1, 2),
    focal=st.booleans(),
)
def test_no_assignment_is_cheaper(seed, queries, counts, layers, focal):
    matcher = replace(MATCHER, use_focal_loss=focal)
    logits, boxes, targets = draw(seed, layers, queries, counts)
    matches = matcher(logits, boxes, targets)
    starts = np.cumsum([0, *counts]).tolist()
    for layer in range(layers):
        for image, target in enumerate(targets):
            pairs = pairs_of(matches, layer, image, starts[image])
            assert len(pairs) == min(queries, counts[image])
            assert len({q for q, _ in pairs}) == len({t for _, t in pairs}) == len(pairs)
            assert all(0 <= t < counts[image] for _, t in pairs)
            if pairs:
                costs = costs_by_hand(matcher, logits[layer, image], boxes[layer, image], target)
                found = sum(costs[q, t].item() for q, t in pairs)
                assert found == pytest.approx(cheapest(costs), abs=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(MATCHER, cost_class=0.0),
        replace(MATCHER, cost_bbox=0.0),
        replace(MATCHER, cost_giou=-2.0),
        replace(MATCHER, alpha=0.95),
        replace(MATCHER, gamma=0.0),
        replace(MATCHER, use_focal_loss=False),
    ],
    ids=str,
)
def test_wrong_costs_are_noticed(wrong):
    """Of 40 tables, some are assigned so that the total cost is more than a per cent above."""
    excess = []
    for seed in range(40):
        logits, boxes, targets = draw(seed, 1, 6, [4])
        costs = costs_by_hand(MATCHER, logits[0, 0], boxes[0, 0], targets[0])
        right, found = (
            sum(costs[q, t].item() for q, t in pairs_of(matcher(logits, boxes, targets), 0, 0, 0))
            for matcher in (MATCHER, wrong)
        )
        excess.append(found - right)
    assert min(excess) >= -1e-9
    assert max(excess) > 0.1


def test_perfect_predictions_find_their_boxes():
    _, _, targets = draw(0, 1, 1, [3, 2])
    order = [[2, 0, 1], [1, 0, 0]]
    boxes = torch.stack([t["boxes"][i] for t, i in zip(targets, order, strict=True)])[None]
    logits = torch.full((1, 2, 3, 4), -5.0, dtype=torch.float64)
    for image, target in enumerate(targets):
        for query, index in enumerate(order[image]):
            logits[0, image, query, target["labels"][index]] = 5.0
    boxes[0, 1, 2] = torch.tensor([0.9, 0.9, 0.05, 0.05])  # a third query that has no box
    matches = MATCHER(logits, boxes, targets)
    assert pairs_of(matches, 0, 0, 0) == [(0, 2), (1, 0), (2, 1)]
    assert pairs_of(matches, 0, 1, 3) == [(0, 1), (1, 0)]


def test_more_boxes_than_queries():
    logits, boxes, targets = draw(0, 2, 3, [8])
    matches = MATCHER(logits, boxes, targets)
    assert [len(pairs_of(matches, layer, 0, 0)) for layer in (0, 1)] == [3, 3]


@pytest.mark.parametrize("counts", [[0], [0, 0], [0, 3], [3, 0]])
def test_images_without_boxes(counts):
    matches = MATCHER(*draw(0, 2, 4, counts))
    assert len(matches.query) == 2 * sum(counts)
    assert matches.query.dtype == torch.int64
    assert all(counts[image] > 0 for image in matches.image.tolist())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("which", ["logits", "boxes", "all"])
def test_values_that_are_no_numbers_do_not_stop_the_matching(value, which):
    logits, boxes, targets = draw(0, 2, 5, [3, 2])
    if which in ("logits", "all"):
        logits[0, 0] = value
    if which in ("boxes", "all"):
        boxes[0, 0] = value
    matches = MATCHER(logits, boxes, targets)
    assert len(pairs_of(matches, 0, 0, 0)) == 3
    clean = MATCHER(*draw(0, 2, 5, [3, 2]))
    assert pairs_of(matches, 1, 1, 3) == pairs_of(clean, 1, 1, 3)


def test_one_bad_query_is_not_chosen():
    logits, boxes, targets = draw(0, 1, 4, [3])
    boxes[0, 0, 1] = float("nan")
    assert {q for q, _ in pairs_of(MATCHER(logits, boxes, targets), 0, 0, 0)} == {0, 2, 3}


def test_matches_of_one_layer_on_others():
    matches = MATCHER(*draw(0, 1, 5, [2, 1]))
    shared = matches.on_layers(2)
    assert shared.layer.tolist() == [0] * 3 + [1] * 3
    for image, start in ((0, 0), (1, 2)):
        expected = pairs_of(matches, 0, image, start)
        assert pairs_of(shared, 0, image, start) == pairs_of(shared, 1, image, start) == expected


def test_groups_matched_together_are_matched_as_alone():
    groups = [Predictions(*draw(0, 3, 5, [2, 1])), Predictions(*draw(1, 1, 7, [0, 4]))]
    together = MATCHER.match_all(groups)
    for group, matches in zip(groups, together, strict=True):
        alone = MATCHER(*group)
        for name in ("layer", "image", "query", "target"):
            assert getattr(matches, name).tolist() == getattr(alone, name).tolist()
    assert len(together[1].query) == 4


def test_gradients_are_not_kept():
    logits, boxes, targets = draw(0, 1, 5, [3])
    matches = MATCHER(logits.requires_grad_(), boxes.requires_grad_(), targets)
    assert not matches.query.requires_grad
