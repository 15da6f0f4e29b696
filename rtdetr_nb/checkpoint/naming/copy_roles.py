"""Which copy of a model is which: averaged or raw, student or teacher, by the words before it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

_AVERAGED = frozenset({"ema", "swa", "averaged", "average", "avg", "polyak", "shadow"})
_RAW = frozenset({"raw", "nonema"})

# Words that say who is who only beside each other: the trained one first, then the one that
# follows it or teaches it. "" stands for the same words without the other one.
_PAIRS = (
    ("s", "t"),
    ("stu", "tea"),
    ("stu", "teacher"),
    ("student", "t"),
    ("online", "target"),
    ("online", "momentum"),
    ("query", "key"),
    ("q", "k"),
    ("base", "momentum"),
    ("main", "momentum"),
    ("", "momentum"),
)

_MMENGINE = (
    "mmengine's EMAHook saved the averaged weights as state_dict and the raw ones as "
    "ema_state_dict."
)
_LIGHTNING = (
    "Lightning's WeightAveraging saved the averaged weights as state_dict and the raw ones as "
    "current_model_state."
)


class Role(NamedTuple):
    """What a copy is ("ema", "student, raw", "model"), and sentences on how that was found."""

    role: str
    notes: tuple[str, ...] = ()


def names_at_top(tree: object) -> frozenset[str]:
    """Return the names at the top of a file's tree, and those below its `meta` as `meta.NAME`."""
    if not isinstance(tree, Mapping):
        return frozenset()
    meta = tree.get("meta")
    below = (f"meta.{key}" for key in meta) if isinstance(meta, Mapping) else ()
    return frozenset([*map(str, tree), *below])


def copy_roles(
    prefixes: Sequence[str], keys: Collection[str], beside: Collection[str]
) -> list[Role]:
    """Return the role of each copy.

    Args:
        prefixes: what stands before the names of each copy.
        keys: all names of the file.
        beside: what lies at the top of the file (`names_at_top`): libraries are known by it.
    """
    copies, library = _copies(prefixes, keys, beside)
    owners, paired = _owners(prefixes)
    roles = []
    for owner, copy in zip(owners, copies, strict=True):
        siblings = {other for mine, other in zip(owners, copies, strict=True) if mine == owner}
        copy = copy or ("raw" if "ema" in siblings else "")
        role = ", ".join(word for word in (owner, copy) if word) or "model"
        roles.append(Role(role, (*library, *(paired if owner else ()))))
    return roles


def _copies(
    prefixes: Sequence[str], keys: Collection[str], beside: Collection[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return "ema", "raw" or "" for each copy, and the note on a library that exchanges them."""
    words = [set(_words(prefix)) for prefix in prefixes]
    copies = ["ema" if _AVERAGED & each else "raw" if _RAW & each else "" for each in words]
    tops = [prefix.partition(".")[0] for prefix in prefixes]
    if "state_dict" in tops and "current_model_state" in tops:
        named = {"state_dict": "ema", "current_model_state": "raw"}
        return [named.get(top, copy) for top, copy in zip(tops, copies, strict=True)], (_LIGHTNING,)
    if {"state_dict", "ema_state_dict"} <= set(tops) and _is_mmengine(keys, beside):
        named = {"state_dict": "ema", "ema_state_dict": "raw"}
        return [named.get(top, copy) for top, copy in zip(tops, copies, strict=True)], (_MMENGINE,)
    return copies, ()


def _is_mmengine(keys: Collection[str], beside: Collection[str]) -> bool:
    """Recognise mmengine, which alone exchanges the two: its averaged model counts `steps`."""
    return "ema_state_dict.steps" in keys or not {
        "message_hub", "meta.mmengine_version"
    }.isdisjoint(beside)  # fmt: skip


def _owners(prefixes: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return "student", "teacher" or "" for each copy, and a note on words that were read so."""
    words = [_words(prefix) for prefix in prefixes]
    owners = [
        "teacher" if "teacher" in each else "student" if "student" in each else "" for each in words
    ]
    notes = []
    for first, one in enumerate(words):
        for second, other in enumerate(words):
            pair = _differing(one, other)
            if pair in _PAIRS and not (owners[first] and owners[second]):
                owners[first], owners[second] = "student", "teacher"
                trained = f'"{pair[0]}"' if pair[0] else "the copy without it"
                notes.append(
                    f'By their names {trained} is read as the student and "{pair[1]}" as the '
                    "teacher."
                )
    return owners, tuple(dict.fromkeys(notes))


def _differing(one: Sequence[str], other: Sequence[str]) -> tuple[str, str] | None:
    """Return the words in which two prefixes differ if it is one each, or one that is added."""
    if len(one) == len(other):
        different = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
        return different[0] if len(different) == 1 else None
    if len(other) == len(one) + 1:
        added = [i for i in range(len(other)) if [*other[:i], *other[i + 1 :]] == list(one)]
        return ("", other[added[0]]) if added else None
    return None


def _words(prefix: str) -> list[str]:
    return [word for word in re.split(r"[._]+", prefix.lower()) if word]
