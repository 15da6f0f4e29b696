"""Pairs of a missing tensor and an unused key that could belong together.

Pairs are offered and never applied unasked: equal shapes and similar names are no proof.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

_LEAST_SIMILARITY = 0.6
_SMALLEST_STAGE = 40  # tensors: fewer that agree may be chance
_STAGE = re.compile(r"(?P<stage>.*stages?[._]?\d+)[._](?P<rest>.+)")

_Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class NearPair:
    """One offer; `similarity` of the names is between 0 and 1."""

    model_key: str
    checkpoint_key: str
    shape: tuple[int, ...]
    similarity: float


def near_pairs(
    missing: Iterable[tuple[str, tuple[int, ...]]],
    unused: Iterable[tuple[str, tuple[int, ...]]],
    names: Mapping[str, str] | None = None,
) -> list[NearPair]:
    """Pair missing model keys with unused file keys of the same shape and a similar name.

    The numbers in both names (stage, block, layer) have to agree from the right: an offer must not
    mix up layers. One exception: a whole stage may be in the file under another number. Each key is
    used once. `names` are the names of unused keys that are compared instead of the keys.
    """
    lacking, left_over = dict(missing), dict(unused)
    by_shape: dict[tuple[int, ...], list[tuple[str, list[str]]]] = defaultdict(list)
    for key, shape in left_over.items():
        by_shape[shape].append((key, _words((names or {}).get(key, key))))
    offers = []
    for model_key, shape in lacking.items():
        words = _words(model_key)
        for checkpoint_key, other in by_shape[shape]:
            if _numbers_agree(words, other):
                similarity = _similarity(words, other)
                if similarity >= _LEAST_SIMILARITY:
                    offers.append(NearPair(model_key, checkpoint_key, shape, similarity))
    offers.sort(key=lambda pair: -pair.similarity)
    taken: set[str] = set()
    chosen = []
    for pair in [*_renumbered_stages(lacking, left_over), *offers]:
        if taken.isdisjoint((pair.model_key, pair.checkpoint_key)):
            taken.update((pair.model_key, pair.checkpoint_key))
            chosen.append(pair)
    return chosen


def _renumbered_stages(missing: _Shapes, unused: _Shapes) -> list[NearPair]:
    """Offer another stage of the file for a missing stage, if all its names and shapes agree."""
    theirs = _by_stage(unused)
    offers = []
    for ours in _by_stage(missing).values():
        if len(ours) < _SMALLEST_STAGE:
            continue
        fitting = [
            stage
            for stage in theirs.values()
            if all(stage.get(rest, ("", ()))[1] == shape for rest, (_, shape) in ours.items())
        ]
        if len(fitting) == 1:
            for rest, (model_key, shape) in ours.items():
                checkpoint_key = fitting[0][rest][0]
                similarity = _similarity(_words(model_key), _words(checkpoint_key))
                offers.append(NearPair(model_key, checkpoint_key, shape, similarity))
    return offers


def _by_stage(shapes: _Shapes) -> dict[str, dict[str, tuple[str, tuple[int, ...]]]]:
    """Return, for each name up to the number of its stage, what follows -> (whole key, shape)."""
    stages: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = defaultdict(dict)
    for key, shape in shapes.items():
        if match := _STAGE.match(key):
            stages[match["stage"]][match["rest"]] = key, shape
    return stages


def _words(key: str) -> list[str]:
    return re.split(r"[._]+", key.lower())


def _similarity(words: list[str], other: list[str]) -> float:
    return SequenceMatcher(None, words, other).ratio()


def _numbers_agree(words: list[str], other: list[str]) -> bool:
    first, second = ([word for word in w if word.isdecimal()] for w in (words, other))
    length = min(len(first), len(second))
    return length == 0 or first[-length:] == second[-length:]
