"""`rtdetr-nb lab`: the notebooks in JupyterLab; `rtdetr-nb class`: two of them as pages."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rtdetr_nb.checkout import CHECKOUT, shipped
from rtdetr_nb.errors import UserError
from rtdetr_nb.notebook_copies import copy_notebooks

_CLASS_NOTEBOOKS = ("00_quickstart.ipynb", "05_how_loading_works.ipynb")


def add_commands(commands: Any) -> None:
    """Add `lab` and `class` to the sub-commands of a parser."""
    lab = commands.add_parser(
        "lab",
        help="open JupyterLab on the first notebook",
        description="Open JupyterLab on the first notebook. With any of the options, on copies of "
        "the notebooks under runs/lab/ that have them filled in. Arguments after -- go to jupyter.",
    )
    lab.add_argument("--checkpoint", type=Path, metavar="FILE", help="your distilled file")
    lab.add_argument("-c", "--config", help="a YAML file, or the name of a shipped configuration")
    lab.add_argument("--data", type=Path, metavar="DIR", help="your data, laid out as data/shapes")
    lab.add_argument("--output", type=Path, metavar="DIR", help="where the notebooks write")
    lab.add_argument("jupyter", nargs="*", metavar="ARGUMENT", help="for jupyter, after --")
    lab.set_defaults(run=run_lab)
    room = commands.add_parser(
        "class", help="serve notebooks 00 and 05 as pages without code, by Voila"
    )
    room.add_argument("voila", nargs="*", metavar="ARGUMENT", help="for voila, after --")
    room.set_defaults(run=run_class)


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab; returns when the server ends."""
    jupyter = _program("jupyter", "notebook")
    notebooks = sorted(shipped("notebooks").resolve().glob("*.ipynb"))
    parameters = _parameters(options)
    if parameters:
        name = options.checkpoint.stem if options.checkpoint else "notebooks"
        notebooks = copy_notebooks(notebooks, CHECKOUT / "runs" / "lab" / name, parameters)
    first = notebooks[0].relative_to(CHECKOUT)
    return subprocess.call([jupyter, "lab", str(first), *options.jupyter], cwd=CHECKOUT)


def run_class(options: argparse.Namespace) -> int:
    """Serve pages for a class; returns when the server ends."""
    voila = _program("voila", "class")
    folder = CHECKOUT / "runs" / "class"
    sources = [shipped("notebooks") / name for name in _CLASS_NOTEBOOKS]
    # Every visitor has a kernel of his own and must not meet the files of another.
    parameters = {
        "checkpoint": str(shipped("data/demo_backbone_mmdet.pth").resolve()),
        "data": str(shipped("data/shapes").resolve()),
        "output": _FolderOfItsOwn(),
    }
    copy_notebooks(sources, folder, parameters)
    return subprocess.call([voila, str(folder), *options.voila], cwd=CHECKOUT)


class _FolderOfItsOwn:
    """Written into a notebook as the call that makes a new folder."""

    def __repr__(self) -> str:
        return "__import__('tempfile').mkdtemp(prefix='rtdetr_nb_')"


def _parameters(options: argparse.Namespace) -> dict[str, object]:
    """The parameters that were given, with paths that hold wherever the notebook runs."""
    given: dict[str, object] = {}
    for name in ("checkpoint", "data"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            raise UserError(f"There is no {path}. Give --{name} a path that exists.")
    for name in ("checkpoint", "data", "output"):
        path = getattr(options, name)
        if path is not None:
            given[name] = str(path.resolve())
    if options.config is not None:
        path = Path(options.config)
        given["config"] = str(path.resolve()) if path.is_file() else options.config
    return given


def _program(name: str, extra: str) -> str:
    """The program of this environment, or else the one on the search path."""
    found: str | None = None
    for folders in (str(Path(sys.executable).parent), None):
        found = found or shutil.which(name, path=folders)
    if found is None:
        raise UserError(f"{name} is not installed; `pip install 'rtdetr_nb[{extra}]'` does it.")
    return found
