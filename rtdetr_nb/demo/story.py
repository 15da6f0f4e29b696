"""The steps of the demo, on the terminal while they run and as the sections of a report."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rtdetr_nb.demo.report import ReportTable, Section
from rtdetr_nb.text.durations import duration


class Story:
    """Collects the sections of the report and prints what matters of each."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.sections: list[Section] = []
        self._began = time.monotonic()

    def start_step(self, title: str) -> None:
        """Print the heading of a step."""
        self.console.rule(f"[bold]{title}", align="left")

    def print(self, text: str) -> None:
        """Print a sentence that the report does not have."""
        self.console.print(text, highlight=False)

    def add(self, section: Section) -> None:
        """Add a section to the report that is not printed."""
        self.sections.append(section)

    def print_and_add(
        self, section: Section, printed: Sequence[str] | None = None, reasons: Sequence[str] = ()
    ) -> None:
        """Add a section to the report and print its texts (or those in `printed`) and its table.

        Args:
            section: for the report, whole.
            printed: on the terminal instead of its texts.
            reasons: of its verdict, on the terminal.
        """
        for text in section.texts if printed is None else printed:
            self.print(text)
        if section.table is not None:
            self._draw(section.table)
        if section.verdict:
            self.print(f"Verdict: {section.verdict}." + "".join(f"\n  {r}" for r in reasons))
        self.add(section)

    @property
    def elapsed(self) -> str:
        """Time since the beginning, in words."""
        return duration(time.monotonic() - self._began)

    def _draw(self, table: ReportTable) -> None:
        drawn = Table(box=None, pad_edge=False, header_style="dim")
        for index, name in enumerate(table.columns):
            drawn.add_column(name, justify="left" if index == 0 else "right")
        for row in table.rows:
            drawn.add_row(*map(str, row))
        self.console.print(drawn)
