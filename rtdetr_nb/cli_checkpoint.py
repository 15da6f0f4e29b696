"""The commands on checkpoints: `inspect`, `diff` and `convert`.

`inspect` and `diff` load neither torch nor pandas; tables are drawn by rich on a terminal and as
plain text in a pipe.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.checkpoint.printable import printable
from rtdetr_nb.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.contents import Candidate
    from rtdetr_nb.checkpoint.diff import Diff
    from rtdetr_nb.checkpoint.findings import Finding, Verdict
    from rtdetr_nb.checkpoint.rendering import Table
    from rtdetr_nb.checkpoint.select import Selection
    from rtdetr_nb.checkpoint.tuning import WriteReport

DEFAULT_CONFIG = "rtdetrv2_hgnetv2_l"
REFUSED = 2
_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")

_STYLES = {"failure": "bold red", "warning": "yellow", "note": "dim"}


def add_commands(commands: Any) -> None:
    """Add the three commands to the subparsers of the command line."""
    _add_inspect(commands)
    _add_diff(commands)
    _add_convert(commands)


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser("inspect", help="what is in a checkpoint file")
    parser.add_argument("file", metavar="FILE", help="checkpoint of any kind; nothing in it is run")
    _add_common(parser)
    parser.set_defaults(run=run_inspect)


def _add_diff(commands: Any) -> None:
    parser = commands.add_parser("diff", help="compare a checkpoint with the model")
    parser.add_argument("file", metavar="FILE", help="checkpoint of any kind; nothing in it is run")
    _add_config(parser)
    _add_common(parser)
    parser.set_defaults(run=run_diff)


def _add_convert(commands: Any) -> None:
    parser = commands.add_parser("convert", help="write the tuning file for RT-DETRv2's -t")
    parser.add_argument("--input", required=True, metavar="FILE", help="checkpoint of any kind")
    parser.add_argument("--output", required=True, metavar="FILE", help=".pth or .safetensors")
    parser.add_argument(
        "--prefix",
        default="backbone.",
        help="what the backbone's names begin with in the output (default: backbone.)",
    )
    _add_config(parser)
    parser.add_argument(
        "--include", nargs="+", metavar="PATTERN", help="take these only, e.g. 'stem.*' 'stages.0'"
    )
    parser.add_argument(
        "--exclude", nargs="+", default=(), metavar="PATTERN", help="leave these out"
    )
    parser.add_argument(
        "--accept-near",
        action="store_true",
        help="apply the pairs of near names that diff offers",
    )
    parser.add_argument(
        "--base", metavar="FULL", help="full official checkpoint whose encoder and decoder to keep"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="write although the verdict is failed, and replace an existing output",
    )
    _add_common(parser)
    parser.set_defaults(run=run_convert)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        default=DEFAULT_CONFIG,
        help=f"YAML file or shipped name (default: {DEFAULT_CONFIG})",
    )
    parser.add_argument("--candidate", metavar="NAME", help="which backbone of the file to take")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--subkey", metavar="KEY", help="look below this key only, e.g. ema.module")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run_inspect(options: argparse.Namespace) -> int:
    """List what is in a file."""
    from rtdetr_nb.checkpoint.read import open_checkpoint
    from rtdetr_nb.checkpoint.rendering import candidate_table, contents_table

    checkpoint = open_checkpoint(options.file, subkey=options.subkey)
    candidates = checkpoint.candidates
    if options.json:
        tensors = [
            {"key": t.key, "shape": list(t.shape), "dtype": t.dtype, "kind": t.kind}
            for t in checkpoint.tensors.values()
        ]
        _print_json(
            file=str(checkpoint.path),
            container=checkpoint.container,
            candidates=[_candidate_json(candidate) for candidate in candidates],
            tensors=tensors,
        )
        return 0
    nbytes = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    count = len(checkpoint.tensors)
    show = _Printer()
    show.line(
        f"{checkpoint.path}: {checkpoint.container}, {count:,} tensors, {nbytes / 1e6:,.1f} MB"
    )
    if candidates:
        show.table(candidate_table(candidates))
        for note in dict.fromkeys(note for c in candidates for note in c.notes):
            show.line(f"  {note}", "dim")
    else:
        show.line("no HGNetv2 backbone in it", "yellow")
    show.table(contents_table(checkpoint))
    return 0


def run_diff(options: argparse.Namespace) -> int:
    """Compare a file with the model and judge it."""
    diff = _compare(options.file, options)
    if options.json:
        _print_json(**_diff_json(diff))
    else:
        _show_diff(diff)
    return 0


def run_convert(options: argparse.Namespace) -> int:
    """Write a tuning file, unless the verdict is failed, and prove it."""
    from rtdetr_nb.checkpoint.findings import Verdict
    from rtdetr_nb.checkpoint.tuning import write_tuning_file
    from rtdetr_nb.checkpoint.verdict import judge, judge_written

    _check_output(options)
    diff = _compare(options.input, options)
    if options.accept_near:
        diff = diff.accept_near()
    verdict = judge(diff, rows=())
    if verdict == "failed" and not options.force:
        return _refuse(options, verdict)
    selection = diff.select(options.include, options.exclude)
    verdict = judge(diff, rows=selection.rows)
    if verdict == "failed" and not options.force:
        return _refuse(options, Verdict(verdict.findings))
    report = write_tuning_file(
        selection, options.output, options.base, overwrite=options.force, prefix=options.prefix
    )
    proved = _load_into_fresh_model(selection, report, options)
    written = None if proved is None else _compare_written(report, selection)
    if written is not None:
        verdict = judge_written(selection, written)
    if options.json:
        _print_json(**_convert_json(selection, verdict, report, proved))
    else:
        _show_conversion(selection, verdict, report, proved, written)
    return 0


def _check_output(options: argparse.Namespace) -> None:
    """Refuse outputs that nothing could read, before anything is read."""
    suffix = Path(options.output).suffix
    if suffix not in _SUFFIXES:
        raise UserError(
            f"The output {options.output} ends in {suffix or 'nothing'}; expected one of "
            f"{', '.join(_SUFFIXES)}."
        )
    if options.prefix and not options.prefix.endswith("."):
        raise UserError(
            f"The prefix {options.prefix!r} does not end in a dot, so names would begin with "
            f"{options.prefix}stem. Give {options.prefix}. with its dot."
        )


def _compare_written(report: WriteReport, selection: Selection) -> Diff | None:
    """The written file against the model; None if too little was selected to know it again."""
    from rtdetr_nb.checkpoint.diff import compare
    from rtdetr_nb.checkpoint.read import open_checkpoint

    try:
        return compare(open_checkpoint(report.path), selection.diff.config)
    except CheckpointError:
        return None


def _compare(file: str, options: argparse.Namespace) -> Diff:
    from rtdetr_nb.checkpoint.contents import choose_candidate
    from rtdetr_nb.checkpoint.diff import compare
    from rtdetr_nb.checkpoint.read import open_checkpoint
    from rtdetr_nb.config import load_config

    checkpoint = open_checkpoint(file, subkey=options.subkey)
    config = load_config(options.config)
    return compare(choose_candidate(checkpoint, options.candidate, config.backbone.name), config)


def _refuse(options: argparse.Namespace, verdict: Verdict) -> int:
    print(f"rtdetr-nb: {options.output} was not written:", file=sys.stderr)
    for finding in verdict.failures:
        print(f"  {finding}", file=sys.stderr)
    print("  (--force writes what can be written.)", file=sys.stderr)
    return REFUSED


def _load_into_fresh_model(
    selection: Selection, report: WriteReport, options: argparse.Namespace
) -> bool | None:
    """Load the written file as training would; None if its names are not the official ones."""
    if options.prefix != "backbone.":
        return None
    from rtdetr_nb.checkpoint.tuning import load_tuning_file, prove_loaded
    from rtdetr_nb.config import load_config
    from rtdetr_nb.model.build import build_model

    model = build_model(load_config(options.config, ["HGNetv2.pretrained=False"]))
    load_tuning_file(model, report.path)
    return all(prove_loaded(model, selection).values())


def _show_diff(diff: Diff) -> None:
    from rtdetr_nb.checkpoint.rendering import diff_tables, diff_title

    show = _Printer()
    show.line(diff_title(diff))
    for table in diff_tables(diff):
        show.table(table)
    if diff.elsewhere:
        counted = ", ".join(f"{name} ({count})" for name, count in diff.elsewhere.items())
        show.line(f"not compared, elsewhere in the file: {counted} tensors", "dim")
    _show_verdict(show, diff.verdict)
    _show_as_it_is(show, diff)


def _show_as_it_is(show: _Printer, diff: Diff) -> None:
    """What the official `-t` makes of the file itself, which is seldom what the verdict is on."""
    loaded, total = _found_officially(diff)
    matched = sum(row.loadable for row in diff.rows)
    found = f"{loaded or 'none'} of the model's {total} tensors"
    if loaded >= matched:
        show.line(f"as it is, the official -t finds {found} in this file: it is a tuning file")
        return
    show.line(f"as it is, the official -t finds {found} in this file; for those matched above:")
    show.line(f"  rtdetr-nb convert --input {diff.checkpoint.path} --output tuning.pth")


def _found_officially(diff: Diff) -> tuple[int, int]:
    """How many tensors the official `-t` finds in the compared file, and the model has."""
    from rtdetr_nb.checkpoint.official_rules import count_loaded_as_it_is

    total = sum(row.model_key is not None for row in diff.rows)
    return count_loaded_as_it_is(diff.checkpoint, diff.config), total


def _show_conversion(
    selection: Selection,
    verdict: Verdict,
    report: WriteReport,
    proved: bool | None,
    written: Diff | None,
) -> None:
    from rtdetr_nb.checkpoint.rendering import diff_title, part_table

    show = _Printer()
    show.line(diff_title(selection.diff))
    show.table(part_table((written or selection.diff).parts))
    for warning in selection.warnings:
        show.line(f"warning: {warning}", _STYLES["warning"])
    _show_verdict(show, verdict)
    show.line(f"written {report}", "green")
    if report.path.suffix == ".safetensors":
        show.line(
            "the official -t reads files of torch.save only: give it a .pth", _STYLES["warning"]
        )
    elif written is not None:
        loaded, total = _found_officially(written)
        show.line(f"the official -t will load {loaded} of the model's {total} tensors from it")
    if proved is None:
        show.line(
            "its names do not begin with backbone.: the official -t would load nothing of it",
            _STYLES["warning"],
        )
    else:
        equal = "bit-equal" if proved else "NOT EQUAL"
        show.line(f"loaded into a fresh model: {len(selection)} tensors {equal}", "green")


def _show_verdict(show: _Printer, verdict: Verdict) -> None:
    show.line(f"verdict: {verdict}")
    for finding in verdict.findings:
        show.line(f"  {finding.level}: {finding}", _STYLES[finding.level])


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    fields = ("name", "prefix", "dialect", "variant", "role", "tensors", "dtype")
    return {**{name: getattr(candidate, name) for name in fields}, "notes": list(candidate.notes)}


def _finding_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [vars(finding) for finding in findings]


def _diff_json(diff: Diff) -> dict[str, Any]:
    from rtdetr_nb.checkpoint.rows import COLUMNS

    return {
        "file": str(diff.checkpoint.path),
        "candidate": _candidate_json(diff.candidate),
        "counts": diff.counts,
        "parts": [vars(part) for part in diff.parts],
        "elsewhere": dict(diff.elsewhere),
        "verdict": str(diff.verdict),
        "findings": _finding_json(diff.verdict.findings),
        "near": [vars(pair) for pair in diff.near],
        "rows": [{name: getattr(row, name) for name in COLUMNS} for row in diff.rows],
    }


def _convert_json(
    selection: Selection, verdict: Verdict, report: WriteReport, proved: bool | None
) -> dict[str, Any]:
    return {
        "output": str(report.path),
        "bytes": report.nbytes,
        "candidate": _candidate_json(selection.diff.candidate),
        "selected": list(selection.keys),
        "grafted": report.grafted,
        "bit_equal": report.bit_equal,
        "loaded_bit_equal": proved,
        "warnings": list(selection.warnings),
        "verdict": str(verdict),
        "findings": _finding_json(verdict.findings),
    }


def _print_json(**values: Any) -> None:
    print(json.dumps(values, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value)


class _Printer:
    """Prints with rich on a terminal and as plain text elsewhere."""

    def __init__(self) -> None:
        self._console: Any = None
        if sys.stdout.isatty():
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        if self._console is None:
            print(printable(text))
        else:
            self._console.print(text, style=style or None, markup=False)

    def table(self, table: Table) -> None:
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
