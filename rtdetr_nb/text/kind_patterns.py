"""Patterns for tensors of one kind, wherever they lie: `*.bn.*` stands for 320 names.

A pattern is taken only where every name that it matches is wanted, so nothing slips in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase


def cover_by_kind(names: Sequence[str], wanted: Collection[str]) -> list[str]:
    """Return shell-style patterns that match exactly `wanted` of `names`, few rather than many.

    Each step takes the pattern that covers most of what is left, the shortest of several; names
    that belong to no kind stand for themselves.
    """
    meant = set(wanted)
    left, patterns = set(meant), []
    matched = {kind: {n for n in names if fnmatchcase(n, kind)} for kind in _kinds(left)}
    usable = {kind: found for kind, found in matched.items() if found and found <= meant}
    while left:
        best = max(
            usable,
            key=lambda kind: (len(usable[kind] & left), -len(kind), kind),
            default="",
        )
        covered = usable[best] & left if best else set()
        if len(covered) < 2:
            return [*patterns, *(name for name in names if name in left)]
        patterns.append(best)
        left -= covered
    return patterns


def _kinds(names: Collection[str]) -> set[str]:
    """The patterns that these names suggest: a module, a tensor of it, a kind of tensor."""
    kinds = set()
    for name in names:
        words = name.split(".")
        kinds |= {f"*.{word}.*" for word in words[1:-1] if not word.isdecimal()}
        kinds |= {f"*.{words[-1]}", f"*.{'.'.join(words[-2:])}"}
        if "_" in words[-1]:
            kinds.add(f"*.{words[-1].split('_')[0]}_*")
    return kinds
