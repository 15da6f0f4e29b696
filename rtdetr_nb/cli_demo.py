"""`rtdetr-nb demo`, the whole job on the shipped data, and `rtdetr-nb lab`: JupyterLab."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import UserError

# The demo data and the notebooks belong to a checkout, not to the installed package.
_CHECKOUT = Path(__file__).resolve().parent.parent


def add_commands(commands: Any) -> None:
    """Add `demo` and `lab` to the sub-commands of a parser."""
    demo = commands.add_parser(
        "demo", help="the whole job on the shipped data, about ten minutes on two cores"
    )
    demo.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="instead of the demo backbone"
    )
    demo.add_argument("--data", type=Path, metavar="DIR", help="instead of data/shapes")
    demo.add_argument("--output", type=Path, default=Path("runs/demo"), metavar="DIR")
    demo.add_argument("--steps", type=int, default=60, metavar="N", help="of each of the two runs")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(run=run_demo)
    lab = commands.add_parser("lab", help="open JupyterLab on the first notebook")
    lab.set_defaults(run=run_lab)


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo on the shipped data, or on what the options name."""
    from rich.console import Console

    from rtdetr_nb.demo import DemoSettings, run_demo

    settings = DemoSettings(
        checkpoint=options.checkpoint or _shipped("data/demo_backbone_mmdet.pth"),
        data=options.data or _shipped("data/shapes"),
        output=options.output,
        steps=options.steps,
        seed=options.seed,
    )
    run_demo(settings, Console())
    return 0


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on the first notebook; returns when the server ends."""
    jupyter = shutil.which("jupyter", path=str(Path(sys.executable).parent))
    jupyter = jupyter or shutil.which("jupyter")
    if jupyter is None:
        raise UserError("JupyterLab is not installed; `pip install 'rtdetr_nb[notebook]'` does it.")
    notebooks = sorted(_shipped("notebooks").glob("*.ipynb"))
    return subprocess.call([jupyter, "lab", *map(str, notebooks[:1])], cwd=_CHECKOUT)


def _shipped(relative: str) -> Path:
    """A file or folder of the checkout, relative to the working folder where that is shorter."""
    path = _CHECKOUT / relative
    if not path.exists():
        raise UserError(
            f"There is no {relative} beside the package: it comes with a checkout of the "
            "repository, not with an installed package. Run this in a checkout, or name your own."
        )
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
