"""A titled table of strings: one description for terminal, pipe and notebook."""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from rtdetr_nb.text.html_pieces import WORD_COLORS, badge, shown
from rtdetr_nb.text.printable import printable

MOST_ROWS = 12
"""Rows of a table that is printed unasked: more would fill the screen."""
_SENTENCE = 40  # characters


@dataclass(frozen=True)
class Table:
    """A titled table of strings; `numeric` are the columns that are aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    footer: str = ""

    def text(self) -> str:
        """Return the table in aligned columns."""
        cells = [self.columns, *(tuple(map(printable, row)) for row in self.rows)]
        widths = [
            max(cell_width(row[index]) for row in cells) for index in range(len(self.columns))
        ]
        lines = [self.title] if self.title else []
        for row in cells:
            aligned = (
                _aligned(cell, width, column in self.numeric)
                for cell, width, column in zip(row, widths, self.columns, strict=True)
            )
            lines.append(("  " + "  ".join(aligned)).rstrip())
        return "\n".join(lines + ([f"  {self.footer}"] if self.footer else []))

    def html(self) -> str:
        """Return the table as HTML; a word of `WORD_COLORS` is shown in its colour."""
        head = "".join(
            # Counts stand below the status that they count.
            f"<th style='{self._style(column)}'>"
            f"{_html_word(column) if column in self.numeric else shown(column)}</th>"
            for column in self.columns
        )
        body = "".join(
            "<tr>" + "".join(self._html_cell(*cell) for cell in zip(self.columns, row, strict=True))
            for row in self.rows
        )
        title = f"<p><b>{shown(self.title)}</b></p>" if self.title else ""
        footer = f"<p>{shown(self.footer)}</p>" if self.footer else ""
        return f"{title}<table><tr>{head}</tr>{body}</table>{footer}"

    def _html_cell(self, column: str, cell: str) -> str:
        # A name is never broken into lines; a sentence may be, but keeps some width.
        long = len(cell) > _SENTENCE
        wrap = (";min-width:13em" if long else "") if " " in cell else ";white-space:nowrap"
        return f"<td style='{self._style(column)}{wrap}'>{_html_word(cell)}</td>"

    def _style(self, column: str) -> str:
        return f"text-align:{'right' if column in self.numeric else 'left'};vertical-align:top"


def cell_width(text: str) -> int:
    """Return the columns that a text takes in a terminal: two for a Chinese character."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def _aligned(cell: str, width: int, right: bool) -> str:
    """Pad a cell to `width` columns of the terminal."""
    padding = " " * (width - cell_width(cell))
    return padding + cell if right else cell + padding


def _html_word(text: str) -> str:
    return badge(text) if text in WORD_COLORS else shown(text)


def shape_text(shape: tuple[int, ...] | None) -> str:
    """Return a shape as "32x3x3x3", "scalar" for no axes and "-" for no tensor."""
    return "-" if shape is None else "x".join(map(str, shape)) or "scalar"
