"""`rtdetr-nb demo`: the whole job on the shipped data."""

import argparse
import signal
from pathlib import Path
from typing import Any, NoReturn

from rtdetr_nb.cli.thread_waiting import let_waiting_threads_sleep
from rtdetr_nb.files.checkout import shipped


def add_command(commands: Any) -> None:
    """Add `demo` to the sub-commands of a parser."""
    demo = commands.add_parser(
        "demo", help="the whole job on the shipped data, about five minutes on two cores"
    )
    demo.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="instead of the demo backbone"
    )
    demo.add_argument("--data", type=Path, metavar="DIR", help="instead of data/shapes")
    demo.add_argument("--output", type=Path, default=Path("runs/demo"), metavar="DIR")
    demo.add_argument("--steps", type=int, default=60, metavar="N", help="of each of the two runs")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(run=run_demo)


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo on the shipped data, or on what the options name."""
    let_waiting_threads_sleep()
    from rich.console import Console

    from rtdetr_nb.demo.run_demo import DemoSettings, run_demo

    settings = DemoSettings(
        checkpoint=options.checkpoint or shipped("data/demo_backbone_mmdet.pth"),
        data=options.data or shipped("data/shapes"),
        output=options.output,
        steps=options.steps,
        seed=options.seed,
    )
    # By default the signal would end the demo alone and leave its training behind.
    previous = signal.signal(signal.SIGTERM, _end)
    try:
        run_demo(settings, Console())
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
