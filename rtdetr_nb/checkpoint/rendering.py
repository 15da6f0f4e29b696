"""Checkpoints and comparisons as tables: one description for terminal, pipe and notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.contents import Candidate
from rtdetr_nb.checkpoint.diff import Diff, PartSummary
from rtdetr_nb.checkpoint.findings import Finding
from rtdetr_nb.checkpoint.html_parts import WORD_COLORS, badge, shown
from rtdetr_nb.checkpoint.metadata import dtype_counts, plain_values
from rtdetr_nb.checkpoint.printable import printable
from rtdetr_nb.checkpoint.rows import MISMATCHED, MISSING, UNUSED, Row
from rtdetr_nb.checkpoint.selection_summary import SelectionSummary, summarise_keys

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.official_prediction import OfficialPrediction
    from rtdetr_nb.checkpoint.read import Checkpoint
    from rtdetr_nb.checkpoint.select import Selection
    from rtdetr_nb.checkpoint.tuning import TuningReport

_MOST_ROWS = 12
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


def _html_word(text: str) -> str:
    return badge(text) if text in WORD_COLORS else shown(text)


def candidate_table(candidates: Iterable[Candidate]) -> Table:
    """Return the backbones of a file, the one that is taken first."""
    rows = tuple(
        (c.name, c.role, c.variant or "?", c.dialect, str(c.tensors), c.dtype, c.prefix or "-")
        for c in candidates
    )
    columns = ("name", "role", "HGNetv2", "dialect", "tensors", "dtype", "prefix")
    return Table("backbones, the one that is meant first:", columns, rows, frozenset({"tensors"}))


def checkpoint_title(checkpoint: Checkpoint) -> str:
    """Return the sentence that says what sort of file it is and how large."""
    nbytes = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    types = ", ".join(f"{count:,} {dtype}" for dtype, count in dtype_counts(checkpoint).items())
    return (
        f"{checkpoint.path}: {checkpoint.container}, {len(checkpoint.tensors):,} tensors "
        f"({types}), {nbytes / 1e6:,.1f} MB"
    )


def checkpoint_tables(checkpoint: Checkpoint) -> list[Table]:
    """Return the tables that show a file: backbones, top level, what it says about itself."""
    candidates = checkpoint.candidates
    tables = [candidate_table(candidates)] if candidates else []
    tables.append(contents_table(checkpoint))
    values = tuple(plain_values(checkpoint).items())
    if values:
        tables.append(Table("what it says about itself:", ("name", "value"), values))
    return tables


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return what is in a file as plain text."""
    tables = [table.text() for table in checkpoint_tables(checkpoint)]
    return "\n".join([checkpoint_title(checkpoint), *tables])


def checkpoint_html(checkpoint: Checkpoint) -> str:
    """Return what is in a file as HTML."""
    tables = "".join(table.html() for table in checkpoint_tables(checkpoint))
    notes = dict.fromkeys(note for c in checkpoint.candidates for note in c.notes)
    none = "" if checkpoint.candidates else "<p>There is no HGNetv2 backbone in it.</p>"
    said = "".join(f"<p>{shown(note)}</p>" for note in notes)
    return f"<p><b>{shown(checkpoint_title(checkpoint))}</b></p>{none}{tables}{said}"


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
            shape_text(row.model_shape),
            shape_text(row.checkpoint_shape),
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
        rows = tuple((p.model_key, p.checkpoint_key, shape_text(p.shape)) for p in diff.near)
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
    return f"<p><b>{shown(diff_title(diff))}</b></p>{tables}"


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return findings with all that they say."""
    rows = tuple((f.level, f.what, f.where, f.why, f.action) for f in findings)
    return Table("", ("level", "what", "where", "why", "do"), rows)


def selection_table(summary: SelectionSummary) -> Table:
    """Return the parts of a selection: tensors picked, and the share of the values."""
    rows = tuple(
        (part.part, str(part.picked), str(part.loadable), f"{part.share:.1%}")
        for part in summary.parts
    )
    columns = ("part", "picked", "of tensors", "of values")
    return Table("", columns, rows, frozenset(columns[1:]))


def selection_html(selection: Selection) -> str:
    """Return a selection as HTML: figures, parts, warnings, the prediction of the official log."""
    summary = summarise_keys(selection.diff, selection.keys)
    warnings = "".join(f"<p>{badge('warning')} {shown(text)}</p>" for text in selection.warnings)
    return (
        f"<p><b>{shown(summary.headline)}</b> {shown(selection.description)}</p>"
        f"{selection_table(summary).html()}<p>{shown(summary.official_sentence)}</p>{warnings}"
    )


def tuning_html(report: TuningReport) -> str:
    """Return what a tuning file did to a model as HTML."""
    groups = ("loaded", "missed", "unmatched", "unused")
    counted = ((word, getattr(report, word)) for word in groups)
    rows = tuple((word, str(len(keys)), _first_keys(keys)) for word, keys in counted)
    columns = ("state dict", "tensors", "the first of them")
    title = f"{report.path}, {report.source!r}"
    return Table(title, columns, rows, frozenset({"tensors"})).html()


def prediction_html(prediction: OfficialPrediction) -> str:
    """Return what the official loader does with a file: its figures, then the line it prints."""
    match = prediction.match
    if match is None:
        first = printable(str(prediction).splitlines()[0])
        return f"<p>The official <code>-t</code> stops: <code>{shown(first)}</code></p>"
    counts = (("loaded", match.loaded), ("missed", match.missed), ("unmatched", match.unmatched))
    rows = tuple((word, str(len(keys)), _first_keys(keys)) for word, keys in counts)
    silent = ("unused, not said", str(len(match.unused)), _first_keys(match.unused))
    columns = ("official -t", "tensors", "the first of them")
    table = Table("", columns, (*rows, silent), frozenset({"tensors"})).html()
    line = shown(match.log_line)
    printed = f"<details><summary>the line that it prints</summary><code>{line}</code></details>"
    return f"{table}{printed}"


def _first_keys(keys: Sequence[str], limit: int = 2) -> str:
    return ", ".join(keys[:limit]) + (", ..." if len(keys) > limit else "")


def shape_text(shape: tuple[int, ...] | None) -> str:
    """Return a shape as "32x3x3x3", "scalar" for no axes and "-" for no tensor."""
    return "-" if shape is None else "x".join(map(str, shape)) or "scalar"
