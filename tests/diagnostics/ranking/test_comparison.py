"""What chance could have done: against plain counting, and on outcomes whose answer is known."""

from itertools import product

import numpy as np
import pytest

from rtdetr_nb.diagnostics.ranking.comparison import (
    Outcome,
    boxes_to_decide,
    chance_of_difference,
    chances_of_pairs,
    group_ranked,
    holm,
    outcome_of,
)


def drawn(share: float, seed: int, pictures: int = 60, boxes: int = 4) -> Outcome:
    rng = np.random.default_rng(seed)
    return Outcome(rng.binomial(boxes, share, pictures).astype(float), np.full(pictures, boxes))


def by_counting(first: Outcome, second: Outcome) -> float:
    """All signs of all differences, one after the other."""
    steps = first.right - second.right
    observed = abs(steps.sum())
    sums = [abs(np.dot(signs, steps)) for signs in product((-1, 1), repeat=len(steps))]
    return float(np.mean([total >= observed - 1e-9 for total in sums]))


@pytest.mark.parametrize("seed", range(8))
def test_the_chance_is_that_of_all_signs(seed: int) -> None:
    first, second = drawn(0.7, seed, pictures=11), drawn(0.5, seed + 100, pictures=11)
    assert chance_of_difference(first, second) == pytest.approx(by_counting(first, second))
    assert chance_of_difference(second, first) == chance_of_difference(first, second)


def test_with_one_box_a_picture_it_is_mcnemar() -> None:
    """9 against 2 of 11 that differ: twice the tail of a fair coin, 67 of 1024."""
    right = np.array([1.0] * 9 + [0.0] * 2 + [1.0] * 20)
    other = np.array([0.0] * 9 + [1.0] * 2 + [1.0] * 20)
    ones = np.ones(31, int)
    chance = chance_of_difference(Outcome(right, ones), Outcome(other, ones))
    assert chance == pytest.approx(2 * (1 + 11 + 55) / 2**11)


def test_equal_outcomes_are_not_told_apart() -> None:
    same = drawn(0.5, 0)
    assert chance_of_difference(same, same) == 1.0
    assert boxes_to_decide(same, same, 1) is None


def test_boxes_of_one_picture_count_as_one() -> None:
    """Twelve boxes that agree because they lie in one picture say as little as one."""
    right, boxes = np.array([12.0, 3.0]), np.array([12, 6])
    assert chance_of_difference(Outcome(right, boxes), Outcome(right * 0, boxes)) == 0.5


def test_alike_ones_are_told_apart_as_rarely_as_said() -> None:
    """Of 400 pairs that differ by chance alone, about 5 % have a chance below 0.05."""
    found = [chance_of_difference(drawn(0.6, s), drawn(0.6, 5000 + s)) < 0.05 for s in range(400)]
    assert 0.015 < np.mean(found) < 0.075  # measured 0.045; an exact test stays at or below 0.05


def test_holm_multiplies_the_smallest_most() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_equal_ones_are_no_further_comparison() -> None:
    best, worse = drawn(0.9, 1), drawn(0.5, 2)
    alone = chances_of_pairs([best, worse])
    with_twins = chances_of_pairs([best, best, worse, worse])
    assert with_twins[0, 1] == with_twins[2, 3] == 1.0
    assert {with_twins[pair] for pair in ((0, 2), (0, 3), (1, 2), (1, 3))} == {alone[0, 1]}


def test_groups_of_a_known_order() -> None:
    shares = (0.95, 0.94, 0.7, 0.69, 0.4)
    outcomes = [drawn(share, seed, pictures=150) for seed, share in enumerate(shares)]
    outcomes.sort(key=lambda outcome: -outcome.accuracy)
    groups, chances = group_ranked(outcomes)
    assert groups == [1, 1, 2, 2, 3]
    assert all(chances[0, i] < 0.05 for i in (2, 3, 4)) and chances[0, 1] > 0.05


def test_a_group_claims_nothing_of_those_between() -> None:
    """One that cannot be told from the leader keeps all above it in the leader's group."""
    boxes = np.full(40, 4)
    leader = Outcome(np.full(40, 3.0), boxes)
    steady = Outcome(np.array([2.0] * 12 + [3.0] * 28), boxes)  # a little worse, without exception
    erratic = Outcome(np.array([0.0, 4.0] * 20), boxes)  # worse on the whole, better here and there
    assert leader.accuracy > steady.accuracy > erratic.accuracy
    groups, chances = group_ranked([leader, steady, erratic])
    assert chances[0, 1] < 0.05 and chances[0, 2] < 0.05
    assert groups == [1, 2, 2] or groups == [1, 2, 3]
    wild = Outcome(np.array([0.0, 4.0, 4.0, 2.0] * 10), boxes)
    groups, chances = group_ranked([leader, steady, wild])
    assert chances[0, 1] < 0.05 <= chances[0, 2]
    assert groups == [1, 1, 1]


def test_the_interval_holds_what_is_true_as_often_as_said() -> None:
    inside = []
    for seed in range(300):
        low, high = drawn(0.8, seed).interval
        inside.append(low <= 0.8 <= high)
    assert 0.91 < np.mean(inside) < 0.985  # measured 0.953


def test_the_interval_is_wider_where_boxes_of_a_picture_agree() -> None:
    boxes = np.full(40, 5)
    spread = Outcome(np.array([4.0, 3.0] * 20), boxes)
    clumped = Outcome(np.array([5.0] * 28 + [0.0] * 12), boxes)
    assert spread.accuracy == clumped.accuracy
    narrow, wide = (o.interval[1] - o.interval[0] for o in (spread, clumped))
    assert wide > 1.8 * narrow
    low, high = Outcome(np.full(10, 4.0), np.full(10, 4)).interval
    assert 0.85 < low < 0.95 and high == pytest.approx(1.0)


def test_as_many_boxes_as_said_decide_in_four_of_five_cases() -> None:
    first, second = drawn(0.66, 1, pictures=100), drawn(0.6, 2, pictures=100)
    needed = boxes_to_decide(first, second, comparisons=1)
    assert needed is not None and needed > 400
    more = boxes_to_decide(first, second, comparisons=10)
    assert more is not None and 1.3 * needed < more < 3 * needed
    pairs = np.random.default_rng(0)
    decided = []
    for _ in range(150):
        again = pairs.integers(0, 100, needed // 4)
        drawn_again = (Outcome(o.right[again], o.boxes[again]) for o in (first, second))
        decided.append(chance_of_difference(*drawn_again) < 0.05)
    assert 0.68 < np.mean(decided) < 0.92


def test_boxes_are_counted_by_picture() -> None:
    outcome = outcome_of(np.array([True, False, True, True]), np.array([0, 0, 1, 2]))
    assert outcome.right.tolist() == [1, 1, 1] and outcome.boxes.tolist() == [2, 1, 1]
    assert outcome.accuracy == 0.75
