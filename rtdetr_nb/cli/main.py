"""The command line, `rtdetr-nb COMMAND`: the commands are those of `_build_parser` below.

Each command imports what it needs when it runs, so that `inspect` answers without loading torch.
Exit codes: 0 done; 2 wrong usage or an input that cannot be used, with one line on standard error;
1 a failure while training.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from rtdetr_nb import __version__
from rtdetr_nb.cli import check as cli_check
from rtdetr_nb.cli import checkpoint as cli_checkpoint
from rtdetr_nb.cli import demo as cli_demo
from rtdetr_nb.cli import lab as cli_lab
from rtdetr_nb.cli import preflight as cli_preflight
from rtdetr_nb.cli import rank as cli_rank
from rtdetr_nb.cli import report as cli_report
from rtdetr_nb.cli import train as cli_train
from rtdetr_nb.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return 0
    try:
        return options.run(options)
    except UserError as error:
        print(f"rtdetr-nb: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe has had enough
        return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the whole usage is what --help is for."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rtdetr-nb",
        description="See how a distilled HGNetv2 checkpoint loads into RT-DETRv2, write its tuning "
        "file, prove it, and watch a short fine-tune.",
    )
    parser.add_argument("--version", action="version", version=f"rtdetr_nb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(run=None)
    cli_checkpoint.add_commands(commands)
    cli_check.add_command(commands)
    cli_preflight.add_command(commands)
    cli_rank.add_command(commands)
    cli_report.add_command(commands)
    cli_train.add_command(commands)
    cli_demo.add_command(commands)
    cli_lab.add_commands(commands)
    return parser
