"""`rtdetr-nb lab`: the notebooks in JupyterLab; `rtdetr-nb class`: two of them as pages.

These commands import what they need when they run, so that the other commands answer at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rtdetr_nb import lab
from rtdetr_nb.cli.thread_waiting import let_waiting_threads_sleep
from rtdetr_nb.errors import UserError
from rtdetr_nb.files.checkout import shipped, working_root
from rtdetr_nb.files.pasted_path import pasted_path

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
    # Voila runs all cells before it reads what the page answers. A server that asks for answers
    # would give the page up after 90 seconds, and the visitor would see no later cell.
    "--Voila.tornado_settings={'ws_ping_interval': 0}",
    # A closed page ends its kernel; this ends the kernels whose browser could not say so.
    "--MappingKernelManager.cull_idle_timeout=600",
    "--MappingKernelManager.cull_interval=60",
)


def add_commands(commands: Any) -> None:
    """Add `lab` and `class` to the sub-commands of a parser."""
    lab = commands.add_parser(
        "lab",
        help="open JupyterLab on the first notebook",
        description="Open JupyterLab on the first of the copies of the notebooks, which lie under "
        "runs/lab/ and have your options filled in. Copies that you have changed are kept. "
        "Arguments after -- go to jupyter.",
    )
    lab.add_argument("--checkpoint", type=Path, metavar="FILE", help="your distilled file")
    lab.add_argument("-c", "--config", help="a YAML file, or the name of a shipped configuration")
    lab.add_argument("--data", type=pasted_path, metavar="DIR", help="your data, in any layout")
    lab.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="each notebook writes to its folder there",
    )
    lab.add_argument("--allow-root", action="store_true", help="let root start JupyterLab")
    lab.add_argument("jupyter", nargs="*", metavar="ARGUMENT", help="for jupyter, after --")
    lab.set_defaults(run=run_lab)
    room = commands.add_parser(
        "class",
        help="serve notebooks 00 and 05 as pages without code, by Voila",
        description="Serve notebooks 00 and 05 as pages without code, by Voila. Each visitor has a "
        "kernel and a folder; when the kernel ends, the visitor's training ends and the folder is "
        "deleted. The pages load nothing from other machines. Arguments after -- go to voila: "
        "--no-browser, --port=8866, and --Voila.ip=0.0.0.0 to serve other machines.",
    )
    room.add_argument("voila", nargs="*", metavar="ARGUMENT", help="for voila, after --")
    room.set_defaults(run=run_class)


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab; returns when the server ends."""
    import subprocess

    from rtdetr_nb.lab.root_user import check_root_is_allowed

    let_waiting_threads_sleep()  # in the kernels, which inherit it
    arguments = [*(["--allow-root"] if options.allow_root else []), *options.jupyter]
    jupyter = _program("jupyter", "notebook")
    check_root_is_allowed(arguments)
    first, root = _lab_copies(options)[0], working_root()
    # Given the notebook itself, the server would show its folder only, without runs/ and data/, and
    # the address that it prints would lead to no notebook.
    page = f"--LabApp.default_url=/lab/tree/{quote(first.relative_to(root).as_posix())}"
    shown = [f"--ServerApp.root_dir={root}", page]
    return subprocess.call([jupyter, "lab", *shown, *arguments], cwd=root)


def _lab_copies(options: argparse.Namespace) -> list[Path]:
    """Copy the notebooks with the options filled in, and say where the copies are."""
    from rtdetr_nb.lab.notebook_copies import copy_notebooks, outdated_copies

    given = _given(options)
    if given:
        _check_usable(options)
    name = options.checkpoint.stem if options.checkpoint else "notebooks"
    folder = working_root() / "runs" / "lab" / name
    output = folder / "output" if options.output is None else options.output.resolve()
    notebooks = sorted(shipped("notebooks").glob("*.ipynb"))
    copies = copy_notebooks(notebooks, folder, {**_defaults(), **given}, output=output)
    print(f"copies of the notebooks are in {folder}; they write to {output}")
    for copy in outdated_copies(copies, notebooks):
        print(f"{copy.name} is kept as you changed it; delete it there to get the newer one")
    return copies


def run_class(options: argparse.Namespace) -> int:
    """Serve pages for a class; returns when the server ends."""
    import subprocess

    from rtdetr_nb.lab.excerpt import NOTEBOOK_ONLY
    from rtdetr_nb.lab.notebook_copies import copy_notebooks

    let_waiting_threads_sleep()  # in the kernels, which inherit it
    root = working_root()
    folder = root / "runs" / "class"
    command, environment = pages_command(folder, options.voila)
    copy_notebooks(
        [shipped("notebooks") / name for name in _CLASS_NOTEBOOKS],
        folder,
        _defaults(),
        code=_make_visitor_folder(),
        keep=False,
        leave_out=NOTEBOOK_ONLY,
    )
    return subprocess.call(command, cwd=root, env=environment)


def pages_command(folder: Path, arguments: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return the command, and its environment, that serves the notebooks of a folder as pages.

    Raises:
        UserError: Voila is not installed.
    """
    path = os.pathsep.join(filter(None, (str(_CLASS_PAGE), os.environ.get("JUPYTER_PATH"))))
    command = [_program("voila", "class"), str(folder), *_VOILA_OPTIONS, *arguments]
    return command, {**os.environ, "JUPYTER_PATH": path}


def _make_visitor_folder() -> str:
    """Source that makes a folder for one visitor, so that visitors do not meet others' files."""
    from rtdetr_nb.ui.picking.write_below import WRITE_BELOW

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
    from rtdetr_nb.datasets.quick_run import quick_run_config

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
