"""Output of the commands on checkpoints: by rich on a terminal, plain in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.text.printable import printable

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.checkpoint import Checkpoint
    from rtdetr_nb.checkpoint.comparison.diff import Diff
    from rtdetr_nb.checkpoint.naming.candidates import Candidate
    from rtdetr_nb.conversion.conversion import Conversion
    from rtdetr_nb.diagnostics.input_format.input_report import InputReport
    from rtdetr_nb.text.findings import Finding, Verdict
    from rtdetr_nb.text.table import Table

_STYLES = {"failure": "bold red", "warning": "yellow", "note": "dim"}


def show_checkpoint(checkpoint: Checkpoint) -> None:
    """Print what is in a file: its backbones, its top level, what it says about itself."""
    from rtdetr_nb.checkpoint.checkpoint_tables import (
        candidate_notes,
        checkpoint_tables,
        checkpoint_title,
    )

    show = Printer()
    show.line(checkpoint_title(checkpoint))
    if not checkpoint.candidates:
        show.line("There is no HGNetv2 backbone in it.", "yellow")
    for table in checkpoint_tables(checkpoint):
        show.table(table)
    for note in candidate_notes(checkpoint):
        show.line(note, "dim")


def show_diff(diff: Diff, verdict: Verdict, report: InputReport | None) -> None:
    """Print a comparison: its tables, its verdict, and what the official `-t` finds in the file.

    Args:
        diff: the comparison.
        verdict: on it, and on what the pictures say.
        report: what they say; None where none were given.
    """
    from rtdetr_nb.checkpoint.comparison.diff_tables import diff_tables, diff_title

    show = Printer()
    show.line(diff_title(diff))
    for table in diff_tables(diff):
        show.table(table)
    if diff.elsewhere:
        counted = ", ".join(f"{name} ({count})" for name, count in diff.elsewhere.items())
        show.line(f"not compared, elsewhere in the file: {counted} tensors", "dim")
    _show_verdict(show, verdict, report)
    _show_as_it_is(show, diff)


def _show_as_it_is(show: Printer, diff: Diff) -> None:
    """Print what the official code finds in the file itself; the verdict is on a conversion."""
    show.table(diff.doors.table)
    loaded, total = _found_officially(diff)
    matched = sum(row.loadable for row in diff.rows)
    found = f"{loaded or 'none'} of the model's {total} tensors"
    if loaded >= matched:
        show.line(f"as it is, the official -t finds {found} in this file: it is a tuning file")
        return
    show.line(f"as it is, the official -t finds {found} in this file; for those matched above:")
    show.line(f"  rtdetr-nb convert --input {diff.checkpoint.path} --output tuning.pth")


def _found_officially(diff: Diff) -> tuple[int, int]:
    """Return how many tensors the official `-t` finds in the file, and how many the model has."""
    return diff.doors["-t"].loaded, diff.doors.wanted["-t"]


def show_conversion(done: Conversion) -> None:
    """Print what was written, judged and proved."""
    from rtdetr_nb.checkpoint.comparison.diff_tables import diff_title, part_table

    show = Printer()
    diff, filled = done.selection.diff, done.filled
    show.line(diff_title(diff))
    show.table(part_table((filled or diff).parts))
    for warning in done.selection.warnings:
        show.line(f"warning: {warning}", _STYLES["warning"])
    _show_verdict(show, done.verdict, done.input)
    show.line(f"written {done.report}", "green")
    if done.report.bare:
        show.line(
            f"for the official -u HGNetv2.pretrained={done.report.path}; its -t stops at this file",
            _STYLES["warning"],
        )
    elif done.report.caution:
        show.line(done.report.caution, _STYLES["warning"])
    elif filled is not None:
        loaded, total = _found_officially(filled)
        show.line(f"the official -t will load {loaded} of the model's {total} tensors from it")
    if done.proof is None:
        show.line(
            "its names do not begin with backbone.: the official -t would load nothing of it",
            _STYLES["warning"],
        )
    else:
        show.line(str(done.proof), "green")


def _show_verdict(show: Printer, verdict: Verdict, report: InputReport | None) -> None:
    if report is not None:
        show.line(str(report))
    show.line(f"verdict: {verdict}")
    for finding in verdict.findings:
        show.line(f"  {finding.level}: {finding}", _STYLES[finding.level])


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """A copy of the backbone as plain values."""
    fields = ("name", "prefix", "dialect", "variant", "role", "tensors", "dtype")
    return {**{name: getattr(candidate, name) for name in fields}, "notes": list(candidate.notes)}


def _finding_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [vars(finding) for finding in findings]


def _input_json(report: InputReport | None) -> dict[str, Any] | None:
    """Which pictures the backbone expects, as plain values."""
    if report is None:
        return None
    return {
        "found": None if report.found is None else report.found.to_dict(),
        "to_mend": None if report.to_mend is None else report.to_mend.name,
        "certain": report.is_certain,
        "pictures": report.pictures,
        "sentence": report.sentence,
    }


def diff_json(diff: Diff, verdict: Verdict, report: InputReport | None) -> dict[str, Any]:
    """What `show_diff` shows as plain values."""
    from rtdetr_nb.checkpoint.comparison.row import COLUMNS

    return {
        "file": str(diff.checkpoint.path),
        "candidate": candidate_json(diff.candidate),
        "counts": diff.counts,
        "parts": [vars(part) for part in diff.parts],
        "elsewhere": dict(diff.elsewhere),
        "verdict": str(verdict),
        "findings": _finding_json(verdict.findings),
        "input": _input_json(report),
        "near": [vars(pair) for pair in diff.near],
        "rows": [{name: getattr(row, name) for name in COLUMNS} for row in diff.rows],
    }


def inspect_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is in a file as plain values."""
    return {
        "file": str(checkpoint.path),
        "container": checkpoint.container,
        "candidates": [candidate_json(candidate) for candidate in checkpoint.candidates],
        "tensors": [
            {"key": t.key, "shape": list(t.shape), "dtype": t.dtype, "kind": t.kind}
            for t in checkpoint.tensors.values()
        ],
    }


def convert_json(done: Conversion) -> dict[str, Any]:
    """What `show_conversion` shows as plain values."""
    selection, report = done.selection, done.report
    return {
        "output": str(report.path),
        "bytes": report.nbytes,
        "candidate": candidate_json(selection.diff.candidate),
        "selected": list(selection.keys),
        "grafted": report.grafted,
        "bit_equal": report.bit_equal,
        "loaded_bit_equal": None if done.proof is None else done.proof.bit_equal,
        "warnings": list(selection.warnings),
        "verdict": str(done.verdict),
        "findings": _finding_json(done.verdict.findings),
        "input": _input_json(done.input),
        "input_format": None if report.stem is None else report.stem.to_dict(),
    }


def print_json(**values: Any) -> None:
    """Print an object of these values."""
    print(json.dumps(values, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value)


class Printer:
    """Prints with rich on a terminal and as plain text elsewhere."""

    def __init__(self) -> None:
        self._console: Any = None
        if sys.stdout.isatty():
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        """Print a line, on a terminal in the style of rich."""
        if self._console is None:
            print(printable(text))
        else:
            self._console.print(text, style=style or None, markup=False)

    def table(self, table: Table) -> None:
        """Print a table."""
        if self._console is None:
            print(table.text())
            return
        from rich.table import Table as RichTable

        drawn = RichTable(
            title=table.title or None, title_justify="left", caption=table.footer or None
        )
        for column in table.columns:
            drawn.add_column(column, justify="right" if column in table.numeric else "left")
        for row in table.rows:
            drawn.add_row(*(cell.replace("[", r"\[") for cell in row))
        self._console.print(drawn)
