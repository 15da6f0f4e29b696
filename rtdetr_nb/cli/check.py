"""`rtdetr-nb check DATA`: what is in a data set, and what is wrong with it."""

from __future__ import annotations

import argparse
from typing import Any

from rtdetr_nb.cli.output import Printer, print_json

FAILED = 2


def add_command(commands: Any) -> None:
    """Add `check` to the commands."""
    parser = commands.add_parser(
        "check", help="what is in a data set of any layout, and what is wrong with it"
    )
    parser.add_argument("data", help="the folder of the data set, or its annotation file")
    parser.add_argument(
        "--all", action="store_true", help="decode every picture, not a sample of each split"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_check)


def run_check(options: argparse.Namespace) -> int:
    """Check a data set; 2 where no run can use it."""
    from rtdetr_nb.datasets.checks.check_data import check_data

    report = check_data(options.data, "all" if options.all else "sample")
    if options.json:
        print_json(**report.to_json())
    else:
        printer = Printer()
        printer.line(f"{report.verdict}: {report.sentence}")
        for finding in report.verdict.findings:
            printer.line(f"  {finding.level}: {finding}")
        for table in report.tables():
            printer.table(table)
        for each in report.broken:
            printer.line(f"  broken: {each.path} ({each.reason})")
    return FAILED if report.verdict == "failed" else 0
