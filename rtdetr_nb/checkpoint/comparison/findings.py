"""What is said about a checkpoint: findings, and the verdict that they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rtdetr_nb.text.html_pieces import badge
from rtdetr_nb.text.table import Table

NOTE, WARNING, FAILURE = "note", "warning", "failure"
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


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return findings with all that they say."""
    rows = tuple((f.level, f.what, f.where, f.why, f.action) for f in findings)
    return Table("", ("level", "what", "where", "why", "do"), rows)


class Verdict(str):
    """One of the words "ok", "warnings" and "failed", with the findings that led to it.

    It compares and prints as the word: `diff.verdict == "ok"`.
    """

    findings: tuple[Finding, ...]

    def __new__(cls, findings: Iterable[Finding]) -> Verdict:
        """Derive the word from the worst finding; the findings are kept, the worst first."""
        findings = tuple(sorted(findings, key=lambda finding: _ORDER[finding.level]))
        levels = {finding.level for finding in findings}
        word = "failed" if FAILURE in levels else "warnings" if WARNING in levels else "ok"
        verdict = super().__new__(cls, word)
        verdict.findings = findings
        return verdict

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that make the verdict "failed"."""
        return self.of_level(FAILURE)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that make it at least "warnings"."""
        return self.of_level(WARNING)

    def of_level(self, level: str) -> tuple[Finding, ...]:
        """Return the findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    def text(self) -> str:
        """Return the verdict and one line a finding."""
        lines = [f"verdict: {self}"]
        lines += [f"  {finding.level}: {finding}" for finding in self.findings]
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text())

    def _repr_html_(self) -> str:
        return f"<p><b>Verdict:</b> {badge(self)}</p>{findings_table(self.findings).html()}"
