"""Which part of a tensor's name a renaming changed."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple


class Segment(NamedTuple):
    """A piece of a name; `changed` where the other name has something else."""

    text: str
    changed: bool


def name_difference(
    model_key: str, checkpoint_key: str
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Split the two names of one tensor into what they share and what differs.

    The pieces of each name, joined, are the name. Names are compared word by word, as single
    letters that happen to agree mean nothing.
    """
    model, found = (re.split(r"([._])", key) for key in (model_key, checkpoint_key))
    tail = 0
    while tail < min(len(model), len(found)) and model[-1 - tail] == found[-1 - tail]:
        tail += 1
    heads = model[: len(model) - tail], found[: len(found) - tail]
    sides: tuple[list[Segment], list[Segment]] = ([], [])
    for tag, *spans in SequenceMatcher(None, *heads, autojunk=False).get_opcodes():
        for side, words, (start, end) in zip(sides, heads, (spans[0:2], spans[2:4]), strict=True):
            text = "".join(words[start:end])
            if text:
                side.append(Segment(text, tag != "equal"))
    shared = "".join(model[len(model) - tail :])
    if shared:
        for side in sides:
            side.append(Segment(shared, False))
    return tuple(sides[0]), tuple(sides[1])
