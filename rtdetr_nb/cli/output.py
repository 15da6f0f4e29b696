"""Output of the commands on checkpoints: by rich on a terminal, plain in a pipe, or JSON."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
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

DEFAULT_CONFIG = "rtdetrv2_hgnetv2_l"
_STYLES = {"failure": "bold red", "warning": "yellow", "note": "dim"}
_OTHER_FILE = "Take another file."
_ANSWER_STYLES = {"ok": "bold green", "warnings": "bold yellow", "failed": "bold red"}


def show_checkpoint(checkpoint: Checkpoint, given: Sequence[str] = ()) -> None:
    """Print what is in a file: its backbones, its top level, what it says about itself.

    `given` are the options that it was opened with.
    """
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
    if checkpoint.candidates:
        show.command("next: ", ["diff", str(checkpoint.path), *given])


def show_diff(
    diff: Diff, verdict: Verdict, report: InputReport | None, given: Sequence[str] = ()
) -> None:
    """Print a comparison: the answer, what was found, the tables, and what to do next.

    Args:
        diff: to show.
        verdict: on it, and on what the pictures say.
        report: what they say; None if none were given.
        given: the options that it was made with, for the command that goes on with it.
    """
    from rtdetr_nb.checkpoint.comparison.answer import answer
    from rtdetr_nb.checkpoint.comparison.diff_tables import diff_tables, diff_title

    show = Printer()
    word, sentence = answer(diff)
    text = f"verdict: {verdict}. {word}: {sentence} {verdict.counts}"
    show.line(text.rstrip(), _ANSWER_STYLES[str(verdict)])
    show.line(diff_title(diff))
    show.findings(verdict, report)
    for table in diff_tables(diff):
        show.table(table)
    if diff.elsewhere:
        counted = ", ".join(f"{name} ({count})" for name, count in diff.elsewhere.items())
        show.line(f"not compared, elsewhere in the file: {counted} tensors", "dim")
    show.table(diff.doors.table)
    _show_next(show, diff, verdict, given)


def _show_next(show: Printer, diff: Diff, verdict: Verdict, given: Sequence[str]) -> None:
    """Print what the official `-t` finds in the file itself, and what to do now."""
    loaded, total = _found_officially(diff)
    found = f"as it is, the official -t finds {loaded or 'none'} of the model's {total} tensors"
    is_tuning = loaded >= sum(row.loadable for row in diff.rows)
    show.line(f"{found} in this file{': it is a tuning file' if is_tuning and loaded else ''}")
    path = str(diff.checkpoint.path)
    if verdict.failures:
        show.line(f"next: {verdict.failures[0].action or _OTHER_FILE}")
    elif is_tuning:
        config = list(given)[:2] if given[:1] == ["-c"] else ["-c", DEFAULT_CONFIG]
        show.command("next: ", ["train", *config, "-t", path])
    else:
        show.command("next: ", ["convert", "--input", path, "--output", "tuning.pth", *given])


def _found_officially(diff: Diff) -> tuple[int, int]:
    """Return how many tensors the official `-t` finds in the file, and how many the model has."""
    return diff.doors["-t"].loaded, diff.doors.wanted["-t"]


def show_conversion(done: Conversion, config: str) -> None:
    """Print what was written and proved, how it is judged, and what to do next.

    Args:
        done: to show.
        config: as it was given.
    """
    from rtdetr_nb.checkpoint.comparison.diff_tables import diff_title, part_table

    show = Printer()
    diff, filled = done.selection.diff, done.filled
    show.line(f"verdict: {done.verdict}. Written {done.report}", _ANSWER_STYLES[str(done.verdict)])
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
    show.line(diff_title(diff))
    for warning in done.selection.warnings:
        show.line(f"warning: {warning}", _STYLES["warning"])
    show.findings(done.verdict, done.input)
    show.table(part_table((filled or diff).parts))
    if done.verdict.failures:
        show.line(f"next: {done.verdict.failures[0].action or _OTHER_FILE}")
    elif done.proof is not None and not done.report.bare and not done.report.caution:
        show.command("next: ", ["train", "-c", config, "-t", str(done.report.path)])


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
        """Print a line, on a terminal in the style of rich and broken between words only."""
        if self._console is None:
            print(printable(text))
            return
        indent = " " * (2 + len(text) - len(text.lstrip()))
        wrapped = textwrap.fill(
            printable(text),
            max(20, self._console.width - 1),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self._console.print(wrapped, style=style or None, markup=False)

    def findings(self, verdict: Verdict, report: InputReport | None = None) -> None:
        """Print what the pictures say, if any were given, and each finding of a verdict."""
        if report is not None:
            self.line(str(report))
        for finding in verdict.findings:
            self.line(f"  {finding.level}: {finding}", _STYLES[finding.level])

    def command(self, before: str, words: Sequence[str]) -> None:
        """Print a command of this program to copy: it is never broken into lines."""
        text = f"{before}rtdetr-nb {shlex.join(words)}"
        if self._console is None:
            print(printable(text))
        else:
            self._console.print(printable(text), style="bold", markup=False)

    def table(self, table: Table) -> None:
        """Print a table."""
        if self._console is None:
            print(table.text())
            return
        from rich.box import SIMPLE_HEAVY
        from rich.table import Table as RichTable

        drawn = RichTable(
            title=table.title or None,
            title_justify="left",
            caption=table.footer or None,
            caption_justify="left",
            padding=(0, 1, 0, 0),
            box=SIMPLE_HEAVY,  # lines between columns would take their width
        )
        for column in table.columns:
            drawn.add_column(
                column,
                justify="right" if column in table.numeric else "left",
                no_wrap=column == "part" or column in table.numeric and " " not in column,
                overflow="fold",  # cut nothing: the end of a name is what tells it from others
            )
        for row in table.rows:
            drawn.add_row(*(cell.replace("[", r"\[") for cell in row))
        self._console.print(drawn)
