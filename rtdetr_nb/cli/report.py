"""`rtdetr-nb report FILE`: what a file is and whether it can work, as a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rtdetr_nb.cli.output import DEFAULT_CONFIG
from rtdetr_nb.files.pasted_path import pasted_path


def add_command(commands: Any) -> None:
    """Add `report` to the commands."""
    parser = commands.add_parser(
        "report",
        help="write what a file is, and whether it can work, as a page",
        description="Write one HTML page on a file: whether it loads, what was found, and with "
        "--data which pictures it expects and what its features know. Nothing is converted.",
    )
    parser.add_argument("file", type=pasted_path, metavar="FILE", help="a checkpoint of any kind")
    parser.add_argument("--data", type=pasted_path, metavar="DIR", help="your data, in any layout")
    parser.add_argument("-c", "--config", default=DEFAULT_CONFIG, help="of the model")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page"
    )
    parser.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from rtdetr_nb.demo.file_report import write_report

    page = write_report(options.file, options.output, options.config, options.data)
    print(f"Open {page} in a browser.")
    return 0
