"""A comparison as tables: counts by part, then the rows that deserve a look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.comparison.answer import answer
from rtdetr_nb.checkpoint.comparison.row import MISMATCHED, MISSING, UNUSED, Row
from rtdetr_nb.text.findings import findings_html
from rtdetr_nb.text.folded_names import folded, template
from rtdetr_nb.text.html_pieces import answer_box, shown
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.text.table import MOST_ROWS, Table, shape_text

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff, PartSummary


_COUNTED = ("tensors", "matched", "mismatched", "missing", "unused", "bookkeeping")
SHARE = "loads"
"""Share of the parameters' values that load, in percent; short, so that 80 columns hold it."""


def part_table(parts: Iterable[PartSummary]) -> Table:
    """Return the counts of a comparison per part, and of all; a status that no tensor has is out.

    `tensors` are those of the model without bookkeeping, which has a column.
    """
    rows = [_counts(part) for part in parts]
    total = [sum(column) for column in zip(*rows, strict=True)] if rows else []
    kept = [n for n, name in enumerate(_COUNTED) if name == "tensors" or total and total[n]]
    named = [(p.part, row, f"{p.share:.1%}") for p, row in zip(parts, rows, strict=True)]
    cells = tuple(
        (name, *(str(row[n]) for n in kept), share if row[0] else "-") for name, row, share in named
    )
    columns = ("part", *(_COUNTED[n] for n in kept), SHARE)
    return Table("", columns, cells, frozenset(columns[1:]))


def _counts(part: PartSummary) -> list[int]:
    own = part.matched + part.mismatched + part.missing
    return [own, *(getattr(part, name) for name in _COUNTED[1:])]


def row_table(title: str, rows: Sequence[Row]) -> Table:
    """Return rows of a comparison, those that differ in numbers only as one; as many as fit."""
    lines = [_line(group) for group in _alike(rows)]
    more = len(lines) - MOST_ROWS
    columns = ("model", "file", "model shape", "file shape", "note")
    footer = f"and {counted(more, 'more line')}" if more > 0 else ""
    return Table(title, columns, tuple(lines[:MOST_ROWS]), footer=footer)


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows whose names have the same words, shapes and note, in the order of their first ones."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        names = (template(row.model_key or "-"), template(row.checkpoint_key or "-"))
        alike = (*names, row.model_shape, row.checkpoint_shape, template(row.note))
        groups.setdefault(alike, []).append(row)
    return list(groups.values())


def _line(rows: Sequence[Row]) -> tuple[str, ...]:
    first, count = rows[0], f"{len(rows)} tensors" if len(rows) > 1 else ""
    return (
        folded([row.model_key or "-" for row in rows]),
        folded([row.checkpoint_key or "-" for row in rows]),
        shape_text(first.model_shape),
        shape_text(first.checkpoint_shape),
        "; ".join(filter(None, (count, folded([row.note for row in rows])))),
    )


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
    """Return a comparison as plain text: the answer, what was found, then the tables."""
    word, sentence = answer(diff)
    first = f"verdict: {diff.verdict}. {word}: {sentence} {diff.verdict.counts}"
    lines = [first.rstrip(), diff_title(diff)]
    lines += [f"  {finding.level}: {finding}" for finding in diff.verdict.findings]
    tables = [*diff_tables(diff), diff.doors.table]
    return "\n".join([*lines, *(table.text() for table in tables)])


def diff_html(diff: Diff) -> str:
    """Return a comparison as HTML: the answer, what was found, then the tables."""
    word, sentence = answer(diff)
    box = answer_box(str(diff.verdict), word, f"{sentence} {diff.verdict.counts}")
    tables = "".join(table.html() for table in [*diff_tables(diff), diff.doors.table])
    return f"{box}<p>{shown(diff_title(diff))}</p>{findings_html(diff.verdict.findings)}{tables}"
