"""How far the weights of a run have moved, as data, text and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rtdetr_nb.diagnostics.movement.change import (
    BACKBONE_PART,
    FROZEN,
    ROUNDING_OF_AVERAGE,
    Movement,
)
from rtdetr_nb.drawing import draw
from rtdetr_nb.text.findings import Finding, Verdict, findings_html
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

_COLUMNS = ("state", "started from", "moved", "statistics", "average moved", "average to raw")


@dataclass(frozen=True)
class WhatMoved:
    """What a run has changed in the weights.

    Attributes:
        run: name of the run's folder.
        checkpoint: name of the file that was compared.
        beginning: what it was compared with, to put behind "from".
        step: optimizer updates before the checkpoint; None if that is not known.
        steps: of those, the ones that lie between the two; None likewise.
        layers: how far each layer has moved, in the order of the data.
        part_movements: the same of the backbone as a whole, of its parts, encoder and decoder.
        findings: what is worth knowing.
        notes: what is not known, or known with reservation.
        seconds: that it took.
    """

    run: str
    checkpoint: str
    beginning: str
    step: int | None
    steps: int | None
    layers: tuple[Movement, ...] = field(repr=False)
    part_movements: tuple[Movement, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    seconds: float = 0.0

    @cached_property
    def verdict(self) -> Verdict:
        """ "failed" where a frozen part moved or a trainable one did not; see `Verdict`."""
        return Verdict(self.findings)

    @property
    def table(self) -> pandas.DataFrame:
        """One row a layer, indexed by its name.

        Columns: `part`, `state` ("trainable", "frozen", "partly frozen"), `start` (where its first
        values come from), `moved` (norm of what was added over the norm of the start; infinite
        where the start was zero), `bit_identical`, `statistics` (as `moved`, of the norms' means
        and variances), `average_moved`, and `average_gap` (distance of the averaged from the raw
        weights over the norm of these). What is not known is NaN.
        """
        return _frame(self.layers)

    @property
    def parts(self) -> pandas.DataFrame:
        """The same for the backbone as a whole, its parts, encoder and decoder."""
        return _frame(self.part_movements)

    @property
    def sentence(self) -> str:
        """How far backbone, encoder and decoder have moved, and what did not."""
        by_name = {part.name: part for part in self.part_movements}
        phrases: list[str] = []
        for name in (BACKBONE_PART, "encoder", "decoder"):
            if name in by_name:
                verb = "" if any(" moved by " in phrase for phrase in phrases) else " moved"
                details = self._backbone_details() if name == BACKBONE_PART else ""
                phrases.append(_phrase(by_name[name], verb) + details)
        after = "From" if self.steps is None else f"In {counted(self.steps, 'step')} from"
        return f"{after} {self.beginning}: {', '.join(phrases)}."

    def _backbone_details(self) -> str:
        """Of the backbone's parts, those that did not move or should not have."""
        inner = [p for p in self.part_movements if p.part == "stem" or p.part.startswith("stages")]
        whole = next(p for p in self.part_movements if p.name == BACKBONE_PART)
        if whole.state == FROZEN and not whole.moved:
            return ""
        frozen = [p for p in inner if p.state == FROZEN]
        still = [p.name for p in frozen if p.moved == 0.0]
        details = [f"{_enumerate(still)} not at all, as configured"] if still else []
        details += [
            f"{p.name} by {_percent(p.moved)} although it is frozen" for p in frozen if p.moved
        ]
        details += [
            f"{p.name} not at all although it is trainable"
            for p in inner
            if p.state != FROZEN and p.moved == 0.0 and whole.moved
        ]
        return f" ({', '.join(details)})" if details else ""

    def figure(self) -> Any:
        """How far each layer has moved, from the stem to the decoder (matplotlib)."""
        return draw("what_moved", self)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [self.sentence, self._parts_table().text(), self.verdict.text(), *self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        findings = findings_html(self.verdict.findings)
        notes = "".join(f"<p>{shown(note)}</p>" for note in self.notes)
        head = f"<p>{badge(str(self.verdict))} {shown(self.sentence)}</p>"
        return head + self._parts_table().html() + findings + notes

    def _parts_table(self) -> Table:
        rows = tuple(
            (
                part.name,
                part.state,
                " and ".join(part.sources) or "not known",
                _percent(part.moved),
                _percent(part.statistics_moved),
                _percent(part.average_moved, part.state == FROZEN),
                _percent(part.average_gap, part.state == FROZEN),
            )
            for part in self.part_movements
        )
        return Table("", ("part", *_COLUMNS), rows, frozenset(_COLUMNS[2:]))


def _phrase(part: Movement, verb: str) -> str:
    """What one of backbone, encoder and decoder did; `verb` is left out where it stood before."""
    name = f"the {part.name}"
    if part.moved is None:
        return f"of {name} the start is not known"
    if part.moved == 0.0:
        why = "as configured" if part.state == FROZEN else "although it is trainable"
        return f"{name} did not move at all, {why}"
    although = ", although it is frozen," if part.state == FROZEN else ""
    return f"{name}{although}{verb} by {_percent(part.moved)}"


def _percent(share: float | None, is_frozen: bool = False) -> str:
    """A share to two digits, "not at all" for 0, "-" where it is not known.

    The average of frozen weights is computed anew in each step, and so rounded.
    """
    if share is None:
        return "-"
    if share == 0.0:
        return "not at all"
    if is_frozen and share < ROUNDING_OF_AVERAGE:
        return "rounding"
    if math.isinf(share):
        return "from zero"
    if math.isnan(share):
        return "not a number"
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:,.0f} %"


def _enumerate(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _frame(movements: Iterable[Movement]) -> pandas.DataFrame:
    import pandas

    rows = [
        {
            "name": m.name,
            "part": m.part,
            "state": m.state,
            "start": " and ".join(m.sources),
            "moved": m.moved,
            "bit_identical": _all_identical(m),
            "statistics": m.statistics_moved,
            "average_moved": m.average_moved,
            "average_gap": m.average_gap,
        }
        for m in movements
    ]
    numeric = ("moved", "statistics", "average_moved", "average_gap")
    return pandas.DataFrame(rows).set_index("name").astype(dict.fromkeys(numeric, float))


def _all_identical(movement: Movement) -> bool | None:
    """Whether no bit of the weights has changed; None if a start is not known."""
    known = [t.bit_identical for t in movement.weights]
    return None if None in known else all(known)
