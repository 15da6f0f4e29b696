"""Findings on a file or a data set, the checks that make them, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, Generic, TypeVar

from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import counted

NOTE, WARNING, FAILURE = "note", "warning", "failure"
_FOLDED_NOTES = 3
_ORDER = {FAILURE: 0, WARNING: 1, NOTE: 2}


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Attributes:
        level: "note" (normal, good to know), "warning" (may spoil the run) or "failure" (will).
        what: what was found, as a sentence.
        where: the part, tensor or configuration key that it was found in.
        why: why it matters.
        action: what to do about it.
    """

    level: str
    what: str
    where: str = ""
    why: str = ""
    action: str = ""

    def __str__(self) -> str:
        where = f" [{self.where}]" if self.where else ""
        return " ".join(part for part in (f"{self.what}{where}", self.why, self.action) if part)


@dataclass(frozen=True)
class Words:
    """What a check says: a finding without its level, which belongs to the check.

    Attributes:
        what, where, why, action: as in `Finding`.
        count: how many things it is about, where they are counted.
        level: instead of the check's, where it depends on how much was found.
    """

    what: str
    where: str = ""
    why: str = ""
    action: str = ""
    count: int = 0
    level: str = ""


Case = TypeVar("Case")


@dataclass(frozen=True)
class Check(Generic[Case]):
    """One kind of finding: how bad it is, and the function that looks for it in a case."""

    level: str
    look: Callable[[Case], Iterable[Words]]

    @property
    def name(self) -> str:
        """The name of the function, in words."""
        return self.look.__name__.replace("_", " ")

    @property
    def meaning(self) -> str:
        """What the finding means: the docstring of the function."""
        return " ".join((getdoc(self.look) or "").split())

    def __call__(self, case: Case) -> list[Finding]:
        """Return what is found in a case."""
        return [
            Finding(said.level or self.level, said.what, said.where, said.why, said.action)
            for said in self.look(case)
        ]


def check(level: str) -> Callable[[Callable[[Case], Iterable[Words]]], Check[Case]]:
    """Make a check of a function that yields words for each finding of this level."""
    return lambda look: Check(level, look)


def findings_html(findings: Iterable[Finding]) -> str:
    """Return findings as lines, with what to do in bold; several notes are folded.

    Lines, not a table: a column of names would take the width that the sentences need.
    """
    lines = [(finding.level, _line_html(finding)) for finding in findings]
    notes = [line for level, line in lines if level == NOTE]
    worse = "".join(line for level, line in lines if level != NOTE)
    if len(notes) < _FOLDED_NOTES:
        return worse + "".join(notes)
    return f"{worse}<details><summary>{len(notes)} notes</summary>{''.join(notes)}</details>"


def _line_html(finding: Finding) -> str:
    where = f" <code>{shown(finding.where)}</code>" if finding.where else ""
    why = f" {shown(finding.why)}" if finding.why else ""
    action = f" <b>{shown(finding.action)}</b>" if finding.action else ""
    style = "margin:.35em 0;max-width:60em;overflow-wrap:anywhere"
    said = f"{badge(finding.level)} {shown(finding.what)}{where}{why}{action}"
    return f"<div style='{style}'>{said}</div>"


@dataclass(frozen=True, eq=False, init=False)
class Verdict:
    """One of the words "ok", "warnings" and "failed", and the findings that lead to it.

    A verdict prints as its word and equals it: `diff.verdict == "ok"`. Two verdicts are equal if
    their findings are.

    Attributes:
        word: the word, which follows from the worst finding.
        findings: all findings, the worst first.
    """

    word: str
    findings: tuple[Finding, ...]

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        ordered = tuple(sorted(findings, key=lambda finding: _ORDER[finding.level]))
        worst = ordered[0].level if ordered else NOTE
        object.__setattr__(self, "findings", ordered)
        object.__setattr__(self, "word", {FAILURE: "failed", WARNING: "warnings"}.get(worst, "ok"))

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that make the verdict "failed"."""
        return tuple(finding for finding in self.findings if finding.level == FAILURE)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that make it at least "warnings"."""
        return tuple(finding for finding in self.findings if finding.level == WARNING)

    @property
    def counts(self) -> str:
        """How many findings of each level there are: "1 warning, 5 notes"; empty without any."""
        levels = [finding.level for finding in self.findings]
        found = [(levels.count(level), level) for level in _ORDER]
        return ", ".join(counted(count, level) for count, level in found if count)

    def text(self) -> str:
        """Return the verdict and one line a finding."""
        lines = [f"verdict: {self}"]
        lines += [f"  {finding.level}: {finding}" for finding in self.findings]
        return "\n".join(lines)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Verdict):
            return self.findings == other.findings
        return self.word == other

    def __hash__(self) -> int:
        return hash(self.word)

    def __str__(self) -> str:
        return self.word

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text())

    def _repr_html_(self) -> str:
        return f"<p><b>Verdict:</b> {badge(self.word)}</p>{findings_html(self.findings)}"
