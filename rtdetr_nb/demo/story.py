"""The demo told twice from one source: on the terminal as it goes, and as sections of a report."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rtdetr_nb.demo.report import ReportTable, Section
from rtdetr_nb.text.durations import duration


class Story:
    """Collects the sections of the report and tells the terminal about each."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.sections: list[Section] = []
        self._began = time.monotonic()

    def begin(self, title: str) -> None:
        """Head a step on the terminal."""
        self.console.rule(f"[bold]{title}", align="left")

    def say(self, text: str) -> None:
        """A sentence for the terminal only."""
        self.console.print(text, highlight=False)

    def add(self, section: Section) -> None:
        """A section for the report only."""
        self.sections.append(section)

    def tell(
        self, section: Section, said: Sequence[str] | None = None, reasons: Sequence[str] = ()
    ) -> None:
        """A section for both: on the terminal its texts (or those in `said`) and its table.

        Args:
            section: for the report, whole.
            said: on the terminal instead of its texts.
            reasons: of its verdict, on the terminal.
        """
        for text in section.texts if said is None else said:
            self.say(text)
        if section.table is not None:
            self._draw(section.table)
        if section.verdict:
            self.say(f"Verdict: {section.verdict}." + "".join(f"\n  {r}" for r in reasons))
        self.add(section)

    @property
    def elapsed(self) -> str:
        """Time since the story began, in words."""
        return duration(time.monotonic() - self._began)

    def _draw(self, table: ReportTable) -> None:
        drawn = Table(box=None, pad_edge=False, header_style="dim")
        for index, name in enumerate(table.columns):
            drawn.add_column(name, justify="left" if index == 0 else "right")
        for row in table.rows:
            drawn.add_row(*map(str, row))
        self.console.print(drawn)
