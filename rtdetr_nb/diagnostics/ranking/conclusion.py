"""What a ranking allows to say, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from rtdetr_nb.diagnostics.ranking.comparison import (
    LEVEL,
    Outcome,
    boxes_to_decide,
    chance_of_difference,
)
from rtdetr_nb.diagnostics.ranking.result import RankedFile
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

_NAMED = 4  # files that a sentence names


def conclude(ranked: Sequence[RankedFile], boxes: int) -> str:
    """The sentence that the groups allow.

    Args:
        ranked: files that were probed, the best first.
        boxes: that each of them has named.
    """
    if not ranked:
        return "None of the files could be probed, so there is nothing to rank."
    leader, on = ranked[0], f"of {counted(boxes, 'held-out box', 'held-out boxes')}"
    if len(ranked) == 1:
        return f"{leader.name} names {_share(leader)} {on}; one file alone is not ranked."
    first = [file for file in ranked if file.group == 1]
    rest = len(ranked) - len(first)
    if len(first) == 1:
        return (
            f"{leader.name} is the best of {len(ranked)} files: it names {_share(leader)} {on}, "
            f"and each other one fewer by more than chance ({ranked[1].name}: {_share(ranked[1])})."
        )
    names = first_of([f"{f.name} ({_share(f)})" for f in first], _NAMED)
    behind = ""
    if rest:
        fewer = "The other one names" if rest == 1 else f"The other {rest} name"
        behind = f" {fewer} fewer than {leader.name} by more than chance."
    who = f"The first {len(first)} of {len(ranked)} files" if rest else f"The {len(first)} files"
    told = f"{who} are not told apart by the share that they name {on}: {names}."
    return f"{told}{behind} {_what_would_decide(first, len(ranked), boxes)}"


def _what_would_decide(first: Sequence[RankedFile], count: int, boxes: int) -> str:
    """How many boxes more would tell the best from the next that names another number."""
    leader = first[0]
    assert leader.outcome is not None
    for other in first[1:]:
        assert other.outcome is not None
        if other.accuracy == leader.accuracy:
            continue
        needed = boxes_to_decide(leader.outcome, other.outcome, count * (count - 1) // 2)
        if needed is None:
            return f"A million boxes would not tell {leader.name} from {other.name}."
        more = _rounded(max(needed - boxes, 1))
        return (
            f"If {leader.name} is better than {other.name} by as much as it seems, about "
            f"{more:,} boxes more would decide."
        )
    return "They name equally many, so more boxes need not tell them apart."


def _rounded(number: int) -> int:
    """To two digits: it is an estimate."""
    scale = 10 ** max(0, len(str(number)) - 2)
    return round(number / scale) * scale


def _share(file: RankedFile) -> str:
    assert file.accuracy is not None
    return f"{file.accuracy:.0%}"


def ranking_findings(files: Sequence[RankedFile], random: Outcome) -> list[Finding]:
    """What to know beside the order."""
    ranked = [file for file in files if file.outcome is not None]
    found = [Finding(NOTE if ranked else FAILURE, f"{f.name} was not ranked.", f.name, f.reason)
             for f in files if f.outcome is None]  # fmt: skip
    found += [finding for file in ranked for finding in _no_better(file, random)]
    return [*found, *_of_best(ranked)]


def _no_better(file: RankedFile, random: Outcome) -> list[Finding]:
    assert file.outcome is not None
    is_told = chance_of_difference(file.outcome, random) < LEVEL
    if is_told and file.outcome.accuracy > random.accuracy:
        return []
    return [
        Finding(
            WARNING,
            f"{file.name} names no more than random weights do ({_share(file)} and "
            f"{random.accuracy:.0%}).",
            file.name,
            "What it has learnt is not seen on these pictures.",
            "Look at it with rt.check_input and rt.compare before anything is trained from it.",
        )
    ]


def _of_best(ranked: Sequence[RankedFile]) -> list[Finding]:
    """Warnings on the file that comes first: it is the one that will be used."""
    if not ranked or ranked[0].verdict is None:
        return []
    return list(ranked[0].verdict.warnings)
