"""The commands on checkpoints: `inspect`, `diff` and `convert`.

`inspect` and `diff` load neither torch nor pandas; tables are drawn by rich on a terminal and as
plain text in a pipe.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.cli.output import (
    Printer,
    candidate_json,
    convert_json,
    diff_json,
    print_json,
    show_conversion,
    show_diff,
)
from rtdetr_nb.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff
    from rtdetr_nb.checkpoint.comparison.findings import Verdict
    from rtdetr_nb.checkpoint.comparison.selection import Selection
    from rtdetr_nb.checkpoint.tuning.write import WriteReport

DEFAULT_CONFIG = "rtdetrv2_hgnetv2_l"
REFUSED = 2
_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


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
        default=BACKBONE,
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
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
    from rtdetr_nb.checkpoint.checkpoint_tables import contents_table
    from rtdetr_nb.checkpoint.naming.candidates import candidate_table

    checkpoint = open_checkpoint(options.file, subkey=options.subkey)
    candidates = checkpoint.candidates
    if options.json:
        tensors = [
            {"key": t.key, "shape": list(t.shape), "dtype": t.dtype, "kind": t.kind}
            for t in checkpoint.tensors.values()
        ]
        print_json(
            file=str(checkpoint.path),
            container=checkpoint.container,
            candidates=[candidate_json(candidate) for candidate in candidates],
            tensors=tensors,
        )
        return 0
    nbytes = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    count = len(checkpoint.tensors)
    show = Printer()
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
        print_json(**diff_json(diff))
    else:
        show_diff(diff)
    return 0


def run_convert(options: argparse.Namespace) -> int:
    """Write a tuning file, unless the verdict is failed, and prove it."""
    from rtdetr_nb.checkpoint.comparison.findings import Verdict
    from rtdetr_nb.checkpoint.comparison.judge import judge
    from rtdetr_nb.checkpoint.tuning.write import write_tuning_file

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
        verdict = judge(diff, rows=selection.rows, written=written)
    if options.json:
        print_json(**convert_json(selection, verdict, report, proved))
    else:
        show_conversion(selection, verdict, report, proved, written)
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
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
    from rtdetr_nb.checkpoint.comparison.diff import compare

    try:
        return compare(open_checkpoint(report.path), selection.diff.config)
    except CheckpointError:
        return None


def _compare(file: str, options: argparse.Namespace) -> Diff:
    from rtdetr_nb.checkpoint.checkpoint import choose_candidate, open_checkpoint
    from rtdetr_nb.checkpoint.comparison.diff import compare
    from rtdetr_nb.config.load import load_config

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
    if options.prefix != BACKBONE:
        return None
    from rtdetr_nb.checkpoint.tuning.write import load_tuning_file, prove_loaded
    from rtdetr_nb.config.load import load_config
    from rtdetr_nb.model.build import build_model

    model = build_model(load_config(options.config, ["HGNetv2.pretrained=False"]))
    load_tuning_file(model, report.path)
    return all(prove_loaded(model, selection).values())
