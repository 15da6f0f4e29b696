"""Checkpoints and comparisons as tables: one description for terminal, pipe and notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.contents import Candidate
from rtdetr_nb.checkpoint.diff import Diff, PartSummary
from rtdetr_nb.checkpoint.printable import printable
from rtdetr_nb.checkpoint.rows import MISMATCHED, MISSING, UNUSED, Row

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.read import Checkpoint

_MOST_ROWS = 12


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
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        lines = [self.title] if self.title else []
        for row in cells:
            aligned = (
                cell.rjust(width) if column in self.numeric else cell.ljust(width)
                for cell, width, column in zip(row, widths, self.columns, strict=True)
            )
            lines.append(("  " + "  ".join(aligned)).rstrip())
        return "\n".join(lines + ([f"  {self.footer}"] if self.footer else []))

    def html(self) -> str:
        """Return the table as HTML."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(self._html_cell(*cell) for cell in zip(self.columns, row, strict=True))
            for row in self.rows
        )
        title = f"<p><b>{escape(self.title)}</b></p>" if self.title else ""
        footer = f"<p>{escape(self.footer)}</p>" if self.footer else ""
        return f"{title}<table><tr>{head}</tr>{body}</table>{footer}"

    def _html_cell(self, column: str, cell: str) -> str:
        side = "right" if column in self.numeric else "left"
        return f"<td style='text-align:{side}'>{escape(cell)}</td>"


def candidate_table(candidates: Iterable[Candidate]) -> Table:
    """Return the backbones of a file, the one that is taken first."""
    rows = tuple(
        (c.name, c.role, c.variant or "?", c.dialect, str(c.tensors), c.dtype, c.prefix or "-")
        for c in candidates
    )
    columns = ("name", "role", "HGNetv2", "dialect", "tensors", "dtype", "prefix")
    return Table("backbones, the one that is meant first:", columns, rows, frozenset({"tensors"}))


def contents_table(checkpoint: Checkpoint) -> Table:
    """Return the top level of a file: tensors and bytes below each key."""
    groups: dict[str, list[int]] = {}
    for key, tensor in checkpoint.tensors.items():
        groups.setdefault(key.partition(".")[0], []).append(tensor.nbytes)
    largest = sorted(groups, key=lambda name: -sum(groups[name]))
    rows = tuple(
        (name, str(len(groups[name])), f"{sum(groups[name]) / 1e6:,.1f}")
        for name in largest[:_MOST_ROWS]
    )
    footer = f"and {len(largest) - len(rows)} more" if len(largest) > len(rows) else ""
    columns = ("top-level key", "tensors", "MB")
    return Table("contents:", columns, rows, frozenset(columns[1:]), footer)


def part_table(parts: Iterable[PartSummary]) -> Table:
    """Return the counts of a comparison per part."""
    counts = ("tensors", "matched", "mismatched", "missing", "unused", "bookkeeping")
    rows = tuple(
        (p.part, *(str(getattr(p, c)) for c in counts), f"{p.share:.1%}" if p.tensors else "-")
        for p in parts
    )
    columns = ("part", *counts, "of values")
    return Table("", columns, rows, frozenset(columns[1:]))


def row_table(title: str, rows: Sequence[Row]) -> Table:
    """Return rows of a comparison, cut where they would fill the screen."""
    shown = tuple(
        (
            row.model_key or "-",
            row.checkpoint_key or "-",
            _shape(row.model_shape),
            _shape(row.checkpoint_shape),
            row.note,
        )
        for row in rows[:_MOST_ROWS]
    )
    more = len(rows) - len(shown)
    columns = ("model", "file", "model shape", "file shape", "note")
    return Table(title, columns, shown, footer=f"and {more} more" if more else "")


def diff_title(diff: Diff) -> str:
    """Return the sentence that says what was compared with what."""
    candidate = diff.candidate
    return (
        f"{diff.checkpoint.path}: {candidate.name} ({candidate.role}, HGNetv2-"
        f"{candidate.variant or '?'}, {candidate.dialect} names, {candidate.dtype}) "
        f"against HGNetv2-{diff.config.backbone.name}"
    )


def diff_tables(diff: Diff) -> list[Table]:
    """Return the tables that show a comparison: counts, then what deserves a look."""
    tables = [part_table(diff.parts)]
    for status in (MISMATCHED, MISSING, UNUSED):
        rows = [
            row
            for row in diff.rows
            # Encoder and decoder are normally not in the file; the counts say so.
            if row.status == status
            and not (status == MISSING and row.part in ("encoder", "decoder"))
        ]
        if rows:
            tables.append(row_table(f"{status}: {len(rows)}", rows))
    if diff.near:
        rows = tuple((p.model_key, p.checkpoint_key, _shape(p.shape)) for p in diff.near)
        more = f"and {len(rows) - _MOST_ROWS} more" if len(rows) > _MOST_ROWS else ""
        title = "could belong together (not applied):"
        tables.append(Table(title, ("model", "file", "shape"), rows[:_MOST_ROWS], footer=more))
    return tables


def diff_text(diff: Diff) -> str:
    """Return a comparison as plain text, without reading any values."""
    return "\n".join([diff_title(diff), *(table.text() for table in diff_tables(diff))])


def diff_html(diff: Diff) -> str:
    """Return a comparison as HTML, without reading any values."""
    tables = "".join(table.html() for table in diff_tables(diff))
    return f"<p><b>{escape(diff_title(diff))}</b></p>{tables}"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else "x".join(map(str, shape)) or "scalar"
