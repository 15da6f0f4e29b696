"""`rtdetr-nb lab`: the notebooks in JupyterLab; `rtdetr-nb class`: two of them as pages.

What only these commands need is imported when they run, so that other commands start fast.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from rtdetr_nb import lab
from rtdetr_nb.cli.thread_waiting import let_waiting_threads_sleep
from rtdetr_nb.errors import UserError
from rtdetr_nb.files.checkout import CHECKOUT, shipped

CLASS_FOLDER = CHECKOUT / "runs" / "class"
_CLASS_NOTEBOOKS = ("00_quickstart.ipynb", "05_how_loading_works.ipynb")
# The template that Voila is given: this folder holds `voila/templates/class`.
_CLASS_PAGE = Path(lab.__path__[0]) / "class_page"
_VOILA_OPTIONS = (
    # Cells show as they finish: the first one of notebook 00 does not wait for the training.
    "--progressive_rendering=True",
    # Voila's own pages load icons from another machine; this template does not.
    "--template=class",
    "--classic-tree",
    # An extension of Notebook 7 adds a button, which fails on a page.
    "--VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension",
    # A closed page ends its kernel; this ends the kernels whose browser could not say so.
    "--MappingKernelManager.cull_idle_timeout=600",
    "--MappingKernelManager.cull_interval=60",
)


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
    lab.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="each notebook writes to its own folder there",
    )
    lab.add_argument("jupyter", nargs="*", metavar="ARGUMENT", help="for jupyter, after --")
    lab.set_defaults(run=run_lab)
    room = commands.add_parser(
        "class",
        help="serve notebooks 00 and 05 as pages without code, by Voila",
        description="Serve notebooks 00 and 05 as pages without code, by Voila. Each visitor has "
        "a kernel and a folder; when the kernel ends, its training stops and the folder is "
        "deleted. The pages load nothing from other machines. Arguments after -- go to voila: "
        "--no-browser, --port=8866, and --Voila.ip=0.0.0.0 to serve other machines.",
    )
    room.add_argument("voila", nargs="*", metavar="ARGUMENT", help="for voila, after --")
    room.set_defaults(run=run_class)


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab; returns when the server ends."""
    import subprocess

    from rtdetr_nb.lab.notebook_copies import copy_notebooks

    let_waiting_threads_sleep()  # in the kernels, which inherit it
    jupyter = _program("jupyter", "notebook")
    notebooks = sorted(shipped("notebooks").resolve().glob("*.ipynb"))
    given = _given(options)
    if given:
        _check_usable(options)
    if given or options.output is not None:
        name = options.checkpoint.stem if options.checkpoint else "notebooks"
        folder = CHECKOUT / "runs" / "lab" / name
        output = folder / "output" if options.output is None else options.output.resolve()
        notebooks = copy_notebooks(notebooks, folder, {**_defaults(), **given}, output=output)
        print(f"copies of the notebooks are in {folder}; they write to {output}")
    first = notebooks[0].relative_to(CHECKOUT)
    return subprocess.call([jupyter, "lab", str(first), *options.jupyter], cwd=CHECKOUT)


def run_class(options: argparse.Namespace) -> int:
    """Serve pages for a class; returns when the server ends."""
    import subprocess

    from rtdetr_nb.lab.notebook_copies import copy_notebooks

    let_waiting_threads_sleep()  # in the kernels, which inherit it
    voila = _program("voila", "class")
    copy_notebooks(
        [shipped("notebooks") / name for name in _CLASS_NOTEBOOKS],
        CLASS_FOLDER,
        _defaults(),
        code=_make_visitor_folder(),
        keep=False,
    )
    templates = str(_CLASS_PAGE)
    path = os.pathsep.join(filter(None, (templates, os.environ.get("JUPYTER_PATH"))))
    return subprocess.call(
        [voila, str(CLASS_FOLDER), *_VOILA_OPTIONS, *options.voila],
        cwd=CHECKOUT,
        env={**os.environ, "JUPYTER_PATH": path},
    )


def _make_visitor_folder() -> str:
    """Source that makes a folder for one visitor, so that visitors do not meet others' files."""
    from rtdetr_nb.ui.picker import WRITE_BELOW

    return (
        "from rtdetr_nb.lab.visitor_folder import visitor_folder\n\n"
        f"output = visitor_folder({WRITE_BELOW!r})"
    )


def _defaults() -> dict[str, object]:
    """Absolute paths of the shipped data, which hold wherever a copy of a notebook lies."""
    return {
        "checkpoint": str(shipped("data/demo_backbone_mmdet.pth").resolve()),
        "data": str(shipped("data/shapes").resolve()),
    }


def _given(options: argparse.Namespace) -> dict[str, object]:
    """The parameters that were given, with absolute paths."""
    given: dict[str, object] = {}
    for name in ("checkpoint", "data"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            raise UserError(f"There is no {path}. Give --{name} a path that exists.")
        if path is not None:
            given[name] = str(path.resolve())
    if options.config is not None:
        path = Path(options.config)
        given["config"] = str(path.resolve()) if path.is_file() else options.config
    return given


def _check_usable(options: argparse.Namespace) -> None:
    """Refuse files that no notebook can use, before a browser opens."""
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
    from rtdetr_nb.config.load import load_config
    from rtdetr_nb.config.quick_run import quick_run_config

    if options.checkpoint is not None:
        open_checkpoint(options.checkpoint)
    if options.data is not None:
        quick_run_config(options.data)
    if options.config is not None:
        load_config(options.config)


def _program(name: str, extra: str) -> str:
    """The program of this environment, or else the one on the search path."""
    from shutil import which

    found: str | None = None
    for folders in (str(Path(sys.executable).parent), None):
        found = found or which(name, path=folders)
    if found is None:
        raise UserError(f"{name} is not installed; `pip install 'rtdetr_nb[{extra}]'` does it.")
    return found
