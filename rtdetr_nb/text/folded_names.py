"""Names that differ in numbers only, as one line: `stages.2.blocks.{0-5}.layers.*.conv.weight`."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\d+")


def template(name: str) -> str:
    """Return a name with a sign in place of each number: names of one template can be folded."""
    return _NUMBER.sub("#", name)


def folded(names: Sequence[str]) -> str:
    """Return names of one template as one: numbers that differ stand in braces.

    `{0-5}` are all numbers from 0 to 5, `{0,3}` those two. Where the numbers of one place depend on
    another, the braces hold all that occur.
    """
    words = _NUMBER.split(names[0])
    columns = list(zip(*(_NUMBER.findall(name) for name in names), strict=True))
    numbers = [_numbers(list(dict.fromkeys(column))) for column in columns]
    return "".join(word + number for word, number in zip(words, [*numbers, ""], strict=True))


def _numbers(found: list[str]) -> str:
    if len(found) == 1:
        return found[0]
    values = sorted(map(int, found))
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return "{" + ",".join(_run(run) for run in runs) + "}"


def _run(run: list[int]) -> str:
    return f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run))
