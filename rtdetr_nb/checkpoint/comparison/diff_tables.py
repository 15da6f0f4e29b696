"""A comparison as tables: counts by part, then the rows that deserve a look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.comparison.row import MISMATCHED, MISSING, UNUSED, Row
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.table import MOST_ROWS, Table, shape_text

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff, PartSummary


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
    """Return the first rows of a comparison: as many as fit on a screen."""
    shown = tuple(
        (
            row.model_key or "-",
            row.checkpoint_key or "-",
            shape_text(row.model_shape),
            shape_text(row.checkpoint_shape),
            row.note,
        )
        for row in rows[:MOST_ROWS]
    )
    more = len(rows) - len(shown)
    columns = ("model", "file", "model shape", "file shape", "note")
    return Table(title, columns, shown, footer=f"and {more} more" if more else "")


def diff_title(diff: Diff) -> str:
    """Return a sentence that names the two sides of a comparison."""
    candidate = diff.candidate
    return (
        f"{diff.checkpoint.path}: {candidate.name} ({candidate.role}, HGNetv2-"
        f"{candidate.size}, {candidate.dialect} names, {candidate.dtype}) "
        f"against HGNetv2-{diff.config.backbone.name}"
    )


def diff_tables(diff: Diff) -> list[Table]:
    """Return the tables of a comparison: counts, then the rows that deserve a look."""
    tables = [part_table(diff.parts)]
    for status in (MISMATCHED, MISSING, UNUSED):
        rows = [
            row
            for row in diff.rows
            # Encoder and decoder are normally missing; the counts show that.
            if row.status == status
            and not (status == MISSING and row.part in ("encoder", "decoder"))
        ]
        if rows:
            tables.append(row_table(f"{status}: {len(rows)}", rows))
    if diff.near:
        rows = tuple((p.model_key, p.checkpoint_key, shape_text(p.shape)) for p in diff.near)
        more = f"and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
        title = "could belong together (not applied):"
        tables.append(Table(title, ("model", "file", "shape"), rows[:MOST_ROWS], footer=more))
    return tables


def diff_text(diff: Diff) -> str:
    """Return a comparison as plain text, without reading any values."""
    tables = [*diff_tables(diff), diff.doors.table]
    return "\n".join([diff_title(diff), *(table.text() for table in tables)])


def diff_html(diff: Diff) -> str:
    """Return a comparison as HTML, without reading any values."""
    tables = "".join(table.html() for table in [*diff_tables(diff), diff.doors.table])
    return f"<p><b>{shown(diff_title(diff))}</b></p>{tables}"
