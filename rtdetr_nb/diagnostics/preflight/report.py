"""What a preflight has found: go, or what is in the way."""

from __future__ import annotations

import os
import textwrap
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.diagnostics.preflight.part import Figure, Part
from rtdetr_nb.errors import UserError
from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.files.pasted_path import pasted_path
from rtdetr_nb.text.durations import duration
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding, Verdict
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

_WIDTH = 100  # characters of a printed line
_HEADINGS = {
    FAILURE: "In the way:",
    WARNING: "May spoil the training:",
    NOTE: "Good to know:",
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #8886 }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


@dataclass(frozen=True)
class PreflightReport:
    """All that is known of a training before its first step.

    Attributes:
        config: what the configuration was loaded by.
        parts: what was looked at, in that order.
        seconds: that it took.
    """

    config: str
    parts: tuple[Part, ...] = field(repr=False)
    seconds: float = 0.0

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth knowing, the worst first."""
        return self.verdict.findings

    @cached_property
    def verdict(self) -> Verdict:
        """ "failed" where something is in the way, "warnings" if the run may be spoilt, or "ok"."""
        return Verdict(finding for each in self.parts for finding in each.findings)

    @property
    def go(self) -> bool:
        """Whether nothing is in the way."""
        return self.verdict != "failed"

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """All numbers, by their names."""
        return {figure.name: figure for each in self.parts for figure in each.figures}

    @property
    def table(self) -> pandas.DataFrame:
        """A row a number: `part`, `name`, `value`, `text` (the same for people) and `note`."""
        import pandas

        rows = [
            {"part": each.name, **asdict(figure)} for each in self.parts for figure in each.figures
        ]
        return pandas.DataFrame(rows, columns=["part", "name", "value", "text", "note"])

    @property
    def sentence(self) -> str:
        """Go or not, and how many reasons there are."""
        failures, warnings = len(self.verdict.failures), len(self.verdict.warnings)
        if not self.go:
            verb = "stands" if failures == 1 else "stand"
            return f"Not yet: {counted(failures, 'reason')} {verb} in the way."
        also = f" Read the {counted(warnings, 'warning')} first." if warnings else ""
        return f"Go.{self._outlook()}{also}"

    def _outlook(self) -> str:
        """What the training will take, where that was measured."""
        whole, step = (
            self.figures.get(name) for name in ("time of the whole training", "time of a step")
        )
        if whole is None or step is None:
            return " Nothing is in the way."
        return f" The training will take about {whole.text}, at {step.text} a step."

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "config": self.config,
            "go": self.go,
            "verdict": str(self.verdict),
            "sentence": self.sentence,
            "findings": [asdict(finding) for finding in self.findings],
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "parts": [
                {"name": each.name, "verdict": each.word, "sentence": each.sentence,
                 "seconds": round(each.seconds, 2)}
                for each in self.parts
            ],
            "seconds": self.seconds,
        }  # fmt: skip

    def text(self, width: int = _WIDTH) -> str:
        """The report in lines of at most so many characters, but for a longer name."""
        lines = [*_filled(self.sentence, width), ""]
        names = max((len(each.name) for each in self.parts), default=0)
        for each in self.parts:
            head = f"  {each.name:<{names}}  {each.word:<8}  "
            lines += _filled(head + each.sentence, width, " " * len(head))
        for level, heading in _HEADINGS.items():
            found = [finding for finding in self.findings if finding.level == level]
            lines += ["", heading] if found else []
            for number, finding in enumerate(found, start=1):
                lines += _filled(f"  {number}. {finding}", width, "     ")
        lines += ["", *self._figure_lines(width), "", f"Looked at in {duration(self.seconds)}."]
        return "\n".join(lines)

    def _figure_lines(self, width: int) -> list[str]:
        """A line a number; what does not fit behind it is left to the table."""
        figures = list(self.figures.values())
        names = max((len(figure.name) for figure in figures), default=0)
        texts = max((len(figure.text) for figure in figures), default=0)
        lines = []
        for figure in figures:
            note = f"  {figure.note}" if figure.note else ""
            line = f"  {figure.name:<{names}}  {figure.text:>{texts}}"
            lines.append(line + note if len(line + note) <= width else line)
        return lines

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return self.text()

    def html(self) -> str:
        """The report as HTML that reads on a light page as on a dark one."""
        rows = tuple((each.name, each.word, each.sentence) for each in self.parts)
        numbers = tuple((f.name, f.text, f.note) for f in self.figures.values())
        return (
            f"<p>{badge(str(self.verdict))} <b>{shown(self.sentence)}</b></p>"
            + Table("", ("part", "verdict", "what was seen"), rows).html()
            + self._findings_html()
            + Table("", ("figure", "value", "how"), numbers, frozenset({"value"})).html()
            + f"<p>Looked at in {duration(self.seconds)}.</p>"
        )

    def _findings_html(self) -> str:
        """A list a level: sentences, which a table would break into narrow columns."""
        lists = []
        for level, heading in _HEADINGS.items():
            items = "".join(_item(each) for each in self.findings if each.level == level)
            if items:
                lists.append(f"<p>{badge(level)} <b>{heading}</b></p><ol>{items}</ol>")
        return "".join(lists)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML page that opens offline, and return its path.

        Raises:
            UserError: it cannot be written.
        """
        target = pasted_path(path)
        page = _PAGE.format(title=f"Preflight of {shown(self.config)}", body=self.html())
        try:
            write_atomically(target, lambda file: file.write_text(page, encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"The page cannot be written to {target} ({error.strerror}). Give another path."
            ) from error
        return target

    def _repr_html_(self) -> str:
        return self.html()


def _item(finding: Finding) -> str:
    where = f" <code style='overflow-wrap:anywhere'>{shown(finding.where)}</code>"
    more = shown(" ".join(filter(None, (finding.why, finding.action))))
    return f"<li><b>{shown(finding.what)}</b>{where if finding.where else ''} {more}</li>"


def _filled(text: str, width: int, indent: str = "") -> list[str]:
    """A text in lines; those after the first begin with `indent`. Names are not broken."""
    return textwrap.wrap(
        printable(text),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
