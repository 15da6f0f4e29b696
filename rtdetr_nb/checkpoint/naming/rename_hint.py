"""Works out renamings that would give tensors of a file the names that are looked for.

A tensor of the same shape whose name has most words in common shows in which words the two differ;
a renaming of these words that makes further names agree, shapes included, is a hint. Hints are
shown and never applied unasked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from rtdetr_nb.checkpoint.naming.user_renames import Rename

_MOST_RENAMES = 4
_SEEDS, _PARTNERS, _BEST = 24, 24, 2
_LEAST_SIMILARITY = 0.5

Shapes = Mapping[str, tuple[int, ...]]


def suggest_renames(wanted: Shapes, held: Shapes) -> tuple[Rename, ...]:
    """Return renamings after which most of `wanted` are among the names of `held`.

    Args:
        wanted: the names that are looked for, as they would be in the file, and their shapes.
        held: the names that the file has instead, and theirs.

    Returns:
        At most four, in the order in which they are to be applied; () if none helps.
    """
    missing, names = dict(wanted), {name: name for name in held}
    chosen: list[Rename] = []
    while missing and len(chosen) < _MOST_RENAMES:
        shapes = {name: held[key] for key, name in names.items()}
        offers = list(dict.fromkeys(_offers(missing, shapes)))
        gains = [_gain(offer, missing, shapes) for offer in offers]
        best = max(range(len(offers)), key=lambda i: (gains[i], -len(offers[i])), default=None)
        if best is None or not gains[best] or len(chosen) + len(offers[best]) > _MOST_RENAMES:
            break
        chosen += offers[best]
        names = {key: _apply(offers[best], name) for key, name in names.items()}
        reached = {name for key, name in names.items() if missing.get(name) == held[key]}
        missing = {name: shape for name, shape in missing.items() if name not in reached}
        names = {key: name for key, name in names.items() if name not in reached}
    return tuple(chosen)


def shared_shapes(wanted: Shapes, held: Shapes) -> int:
    """Return how many tensors of `wanted` have a partner of their shape in `held`, one to one."""
    counts: dict[tuple[int, ...], int] = defaultdict(int)
    for shape in held.values():
        counts[shape] += 1
    found = 0
    for shape in wanted.values():
        if counts[shape]:
            counts[shape] -= 1
            found += 1
    return found


def _offers(missing: Shapes, held: Shapes) -> Iterator[tuple[Rename, ...]]:
    """Yield the renamings that pairs of names show, the pairs of rare shapes first."""
    by_shape: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, shape in held.items():
        by_shape[shape].append(name)
    seeds = [name for name, shape in missing.items() if by_shape[shape]]
    seeds.sort(key=lambda name: (len(by_shape[missing[name]]), -len(missing[name])))
    step = max(1, len(seeds) // _SEEDS)
    for name in seeds[::step][:_SEEDS]:
        words = name.split(".")
        scored = [
            (SequenceMatcher(None, other.split("."), words, autojunk=False), other)
            for other in by_shape[missing[name]][:_PARTNERS]
        ]
        scored.sort(key=lambda pair: -pair[0].ratio())
        for matcher, other in scored[:_BEST]:
            if matcher.ratio() >= _LEAST_SIMILARITY:
                yield from _renames_between(other.split("."), words, matcher)


def _renames_between(
    theirs: Sequence[str], ours: Sequence[str], matcher: SequenceMatcher[str]
) -> Iterator[tuple[Rename, ...]]:
    changes = [op for op in matcher.get_opcodes() if op[0] != "equal"]
    for general in (True, False):
        renames = [
            _rename(theirs, ours, *_widened(theirs, ours, change), general) for change in changes
        ]
        if renames and len(renames) <= _MOST_RENAMES:
            yield tuple(renames)


def _widened(
    theirs: Sequence[str], ours: Sequence[str], change: tuple[str, int, int, int, int]
) -> tuple[int, int, int, int]:
    """Give a change that is nothing but a number, or nothing in the file, a word to stand by."""
    _, i1, i2, j1, j2 = change
    bare = all(word.isdecimal() for word in theirs[i1:i2])
    if bare and i1 and j1:
        return i1 - 1, i2, j1 - 1, j2
    if i1 == i2 and i2 < len(theirs):
        return i1, i2 + 1, j1, j2 + 1
    return i1, i2, j1, j2


def _rename(
    theirs: Sequence[str], ours: Sequence[str], i1: int, i2: int, j1: int, j2: int, general: bool
) -> Rename:
    """Make a renaming of the words i1 to i2 of theirs to the words j1 to j2 of ours."""
    old, new = ".".join(theirs[i1:i2]), ".".join(ours[j1:j2])
    pattern, replacement = _generalised(old, new) if general else (re.escape(old), new)
    if i1 == 0:
        pattern, replacement = rf"^{pattern}\.", f"{replacement}." if new else ""
    elif i2 == len(theirs):
        pattern, replacement = rf"\.{pattern}$", f".{replacement}" if new else ""
    else:
        pattern, replacement = rf"\.{pattern}\.", f".{replacement}." if new else "."
    return Rename(pattern, replacement)


def _generalised(old: str, new: str) -> tuple[str, str]:
    """Let the numbers of the old words stand for any number, if they come back in the new ones."""
    numbers = re.findall(r"\d+", old)
    if not numbers or any(number not in re.findall(r"\d+", new) for number in numbers):
        return re.escape(old), new
    pattern = re.sub(r"\d+", lambda _: r"(\d+)", re.escape(old))
    order = list(numbers)

    def group(match: re.Match[str]) -> str:
        """Refer to the group that caught this number; each group is used once."""
        if match[0] not in order:
            return match[0]
        index = order.index(match[0])
        order[index] = ""
        return rf"\g<{index + 1}>"

    return pattern, re.sub(r"\d+", group, new)


def _apply(renames: Sequence[Rename], name: str) -> str:
    for rename in renames:
        name = rename.apply(name)
    return name


def _gain(renames: Sequence[Rename], missing: Shapes, held: Shapes) -> int:
    """Return how many names are reached; 0 if a renaming changes nothing or makes two names one."""
    names = list(held)
    for rename in renames:
        renamed = [rename.apply(name) for name in names]
        if renamed == names or len(set(renamed)) != len(names):
            return 0
        names = renamed
    return sum(missing.get(name) == shape for name, shape in zip(names, held.values(), strict=True))
