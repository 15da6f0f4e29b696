"""`rtdetr-nb preflight`: whether a training can be begun, before its first step."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

from rtdetr_nb.cli.output import Printer, print_json
from rtdetr_nb.cli.thread_waiting import let_waiting_threads_sleep

IN_THE_WAY = 2
_WIDEST = 120  # columns: longer lines are hard to read


def add_command(commands: Any) -> None:
    """Add `preflight` to the commands."""
    parser = commands.add_parser(
        "preflight",
        help="whether a training can be begun, before its first step",
        description="Say whether a training can be begun, and what it will take: all that stands "
        "in its way at once. Flags as for train. Exits with 0 for go, else with 2.",
    )
    parser.add_argument(
        "-c", "--config", required=True, help="a YAML file, or the name of a shipped configuration"
    )
    parser.add_argument("-t", "--tuning", metavar="FILE", help="weights to start from")
    parser.add_argument("-r", "--resume", metavar="FILE", help="checkpoint to go on from")
    parser.add_argument("-d", "--device", help="cpu, cuda or cuda:N (a GPU if there is one)")
    parser.add_argument("--use-amp", action="store_true", help="automatic mixed precision")
    parser.add_argument("--output-dir", metavar="DIR", help="folder of the run; nothing is written")
    parser.add_argument(
        "-u", "--update", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the configuration, for example -u HGNetv2.freeze_at=-1",
    )  # fmt: skip
    parser.add_argument("--max-steps", type=int, metavar="N", help="the training ends after these")
    parser.add_argument(
        "--data", metavar="DATA", help="a data set in place of the configured one, of any layout"
    )
    parser.add_argument(
        "--nproc", type=int, default=1, metavar="N", help="processes that train together"
    )
    parser.add_argument("--official", metavar="CHECKOUT", help="let the official code rehearse too")
    parser.add_argument("--no-rehearsal", action="store_true", help="only look, train no step")
    parser.add_argument("--html", metavar="FILE", help="write the page there too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_preflight)


def run_preflight(options: argparse.Namespace) -> int:
    """Look at all that a training needs; 2 where something is in its way."""
    let_waiting_threads_sleep()
    from rtdetr_nb.diagnostics.preflight.preflight import preflight

    report = preflight(
        options.config,
        options.tuning,
        options.data,
        resume=options.resume,
        output_dir=options.output_dir,
        overrides=[*options.update, *([f"device={options.device}"] if options.device else [])],
        use_amp=options.use_amp or None,
        max_steps=options.max_steps,
        processes=options.nproc,
        official=options.official,
        rehearse=not options.no_rehearsal,
    )
    if options.html:
        report.save(options.html)
    if options.json:
        print_json(**report.to_json())
    else:
        width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
        printer = Printer()
        for line in report.text(width).split("\n"):
            printer.line(line)
    return 0 if report.go else IN_THE_WAY
