"""Which differences between backbones are more than chance, on the same boxes of the same pictures.

Boxes of one picture are alike, so pictures are what is drawn by chance, not boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

LEVEL = 0.05
"""What chance does less often than this is taken for more than chance."""
_POWER = 0.8  # how often a difference that is there should be found
_COVERAGE = 0.95


@dataclass(frozen=True)
class Outcome:
    """What one backbone has named, picture by picture.

    Attributes:
        right: (pictures,) boxes that are named rightly.
        boxes: (pictures,) of all.
    """

    right: np.ndarray
    boxes: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of the boxes that are named rightly."""
        return float(self.right.sum() / self.boxes.sum())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the accuracy if other pictures were drawn.

        Wilson's score interval (1927) for as many independent boxes as the boxes of these pictures
        are worth: their number over Kish's design effect (1965), the variance between pictures
        against that of boxes that have nothing to do with each other.
        """
        share, total = self.accuracy, float(self.boxes.sum())
        alone = share * (1 - share) * total
        between = float(((self.right - share * self.boxes) ** 2).sum())
        pictures = len(self.boxes)
        between *= pictures / max(pictures - 1, 1)
        number = total / max(between / alone, 1.0) if alone else total
        z = NormalDist().inv_cdf((1 + _COVERAGE) / 2)
        middle = (share + z * z / (2 * number)) / (1 + z * z / number)
        spread = (share * (1 - share) / number + (z / (2 * number)) ** 2) ** 0.5
        half = z * spread / (1 + z * z / number)
        return max(0.0, middle - half), min(1.0, middle + half)


def outcome_of(is_right: np.ndarray, picture_of_box: np.ndarray) -> Outcome:
    """Count by picture.

    Args:
        is_right: (boxes,) bool.
        picture_of_box: (boxes,) place of the picture of each box.
    """
    return Outcome(np.bincount(picture_of_box, weights=is_right), np.bincount(picture_of_box))


def chance_of_difference(first: Outcome, second: Outcome) -> float:
    """How often a difference as large as this would be chance, if both were alike.

    The exact test of Fisher (1935) for pairs: were both alike, each picture's difference could as
    well have the other sign, and of all signs so many give as large a sum. With one box a picture
    it is McNemar's exact test.
    """
    steps = np.abs(first.right - second.right).astype(int)
    steps = steps[steps > 0]
    observed = abs(int(round(float(first.right.sum() - second.right.sum()))))
    shares = np.ones(1)  # of the sums -total, -total + 2, ..., so far
    for step in steps:
        wider = np.zeros(len(shares) + 2 * int(step))
        wider[2 * int(step) :] += 0.5 * shares
        wider[: len(shares)] += 0.5 * shares
        shares = wider
    sums = np.arange(len(shares)) - int(steps.sum())
    return float(min(1.0, shares[np.abs(sums) >= observed].sum()))


def holm(chances: Sequence[float]) -> list[float]:
    """Correct for the number of comparisons (Holm, 1979): adjusted chances, in the same order."""
    count, largest = len(chances), 0.0
    adjusted = [0.0] * count
    for rank, index in enumerate(sorted(range(count), key=lambda i: chances[i])):
        largest = max(largest, min(1.0, chances[index] * (count - rank)))
        adjusted[index] = largest
    return adjusted


def chances_of_pairs(outcomes: Sequence[Outcome]) -> dict[tuple[int, int], float]:
    """Adjusted chance of each pair, the lower index first; equal outcomes count as one."""
    distinct: dict[bytes, int] = {}
    same_as = [distinct.setdefault(each.right.tobytes(), i) for i, each in enumerate(outcomes)]
    pairs = list(combinations(sorted(distinct.values()), 2))
    raw = [chance_of_difference(outcomes[a], outcomes[b]) for a, b in pairs]
    adjusted = dict(zip(pairs, holm(raw), strict=True))
    found = {}
    for a, b in combinations(range(len(outcomes)), 2):
        key = min(same_as[a], same_as[b]), max(same_as[a], same_as[b])
        found[a, b] = adjusted.get(key, 1.0)
    return found


def group_ranked(outcomes: Sequence[Outcome]) -> tuple[list[int], dict[tuple[int, int], float]]:
    """Groups of outcomes that are ranked already, the best first, and the chance of each pair.

    A group has a leader and goes down to the last one that is not told from it; with the next one a
    new group begins. So all of a later group are told from the leader of each earlier one.

    Returns:
        A number from 1 for each, and the adjusted chances.
    """
    chances = chances_of_pairs(outcomes)
    groups, leader, number = [0] * len(outcomes), 0, 1
    while leader < len(outcomes):
        alike = [i for i in range(leader + 1, len(outcomes)) if chances[leader, i] >= LEVEL]
        last = max(alike, default=leader)
        for index in range(leader, last + 1):
            groups[index] = number
        leader, number = last + 1, number + 1
    return groups, chances


def boxes_to_decide(first: Outcome, second: Outcome, comparisons: int) -> int | None:
    """About how many boxes tell the two apart in four cases of five, if they differ as seen here.

    None where they name equally many, or more than a million would be needed.

    Args:
        first, second: on the same pictures.
        comparisons: that are made in all.
    """
    differences = first.right - second.right
    total = float(abs(differences.sum()))
    if not total:
        return None
    seen = total / float((differences**2).sum()) ** 0.5
    normal = NormalDist()
    needed = normal.inv_cdf(1 - LEVEL / 2 / max(comparisons, 1)) + normal.inv_cdf(_POWER)
    boxes = float(first.boxes.sum()) * max(1.0, (needed / seen) ** 2)
    return None if boxes > 1e6 else round(boxes)
