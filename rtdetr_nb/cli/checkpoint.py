"""The commands on checkpoints: `inspect`, `diff` and `convert`.

`inspect` and `diff` load neither torch nor pandas; tables are drawn by rich on a terminal and as
plain text in a pipe.
"""

from __future__ import annotations

import argparse
from typing import Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.cli.output import (
    DEFAULT_CONFIG,
    convert_json,
    diff_json,
    inspect_json,
    print_json,
    show_checkpoint,
    show_conversion,
    show_diff,
)


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
    _add_data(parser)
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
        "--input-format",
        metavar="NAME",
        help="the pictures that the backbone was trained on, such as imagenet: its stem is "
        "rewritten for those that RT-DETRv2 feeds; auto finds them with --data",
    )
    _add_data(parser)
    parser.add_argument(
        "--bare",
        action="store_true",
        help="write the whole backbone under bare names, for HGNetv2.pretrained=FILE; -t cannot "
        "read that",
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


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="pictures of the training to come (a data set or a folder): does the backbone "
        "expect pictures as RT-DETRv2 feeds them?",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--subkey", metavar="KEY", help="look below this key only, e.g. ema.module")
    parser.add_argument(
        "--rename",
        action="append",
        metavar="PATTERN=REPLACEMENT",
        help="search names in which every match of a regular expression is replaced, as in re.sub, "
        r"e.g. '\.wrapped\.=.'; may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _given(options: argparse.Namespace) -> list[str]:
    """The options on how a file is read, as they were given; the configuration comes first."""
    words = []
    flags = ("candidate", "subkey", "data")
    for flag, name in (("-c", "config"), *((f"--{name}", name) for name in flags)):
        value = getattr(options, name, None)
        if value is not None and (name, value) != ("config", DEFAULT_CONFIG):
            words += [flag, str(value)]
    for rename in getattr(options, "rename", None) or ():
        words += ["--rename", rename]
    return words


def run_inspect(options: argparse.Namespace) -> int:
    """List what is in a file."""
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(options.file, subkey=options.subkey, rename=options.rename)
    if options.json:
        print_json(**inspect_json(checkpoint))
    else:
        show_checkpoint(checkpoint, _given(options))
    return 0


def run_diff(options: argparse.Namespace) -> int:
    """Compare a file with the model and judge it."""
    from rtdetr_nb.checkpoint.checkpoint import choose_candidate, open_checkpoint
    from rtdetr_nb.checkpoint.comparison.diff import compare
    from rtdetr_nb.config.load import load_config
    from rtdetr_nb.conversion.class_look import class_findings
    from rtdetr_nb.conversion.input_look import findings_on_pictures
    from rtdetr_nb.text.findings import Verdict

    checkpoint = open_checkpoint(options.file, subkey=options.subkey, rename=options.rename)
    config = load_config(options.config)
    diff = compare(choose_candidate(checkpoint, options.candidate, config.backbone.name), config)
    report, findings = findings_on_pictures(diff.candidate, options.data, config)
    classes = class_findings(diff, options.data)
    verdict = Verdict([*diff.verdict.findings, *findings, *classes])
    if options.json:
        print_json(**diff_json(diff, verdict, report))
    else:
        show_diff(diff, verdict, report, _given(options))
    return 0


def run_convert(options: argparse.Namespace) -> int:
    """Write a tuning file, unless the verdict is failed, and prove it."""
    from rtdetr_nb.conversion.convert import convert

    done = convert(
        options.input,
        options.output,
        options.config,
        options.data,
        include=options.include,
        exclude=options.exclude,
        candidate=options.candidate,
        subkey=options.subkey,
        accept_near=options.accept_near,
        rename=options.rename,
        base=options.base,
        prefix=options.prefix,
        input_format=options.input_format,
        bare=options.bare,
        force=options.force,
    )
    if options.json:
        print_json(**convert_json(done))
    else:
        show_conversion(done, options.config)
    return 0
