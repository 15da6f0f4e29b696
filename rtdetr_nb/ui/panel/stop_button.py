"""A button that stops a run, also while another cell blocks the kernel."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from rtdetr_nb.runs.file_names import STOP_FILE
from rtdetr_nb.runs.run import Run

_SOURCE = Path(__file__).parent


class StopButton(anywidget.AnyWidget):
    """In the browser it writes the run's stop file through the Jupyter server, past the kernel.

    The server can do that where the run's folder lies below the folder that it serves. Elsewhere
    (VS Code, Colab, another folder) the click comes as a message, which a blocked kernel hears
    only when it is free again.

    Args:
        on_stop: called for a click that came as a message.
    """

    _esm = _SOURCE / "stop_button.js"
    _css = _SOURCE / "stop_button.css"

    enabled = traitlets.Bool(False).tag(sync=True)
    stop_path = traitlets.Unicode("").tag(sync=True)
    run_token = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_stop: Callable[[], None]) -> None:
        super().__init__()
        self._on_stop = on_stop
        self.on_msg(self._receive)

    def follow(self, run: Run) -> None:
        """Stop this run from now on."""
        self.stop_path = contents_path(run.folder / STOP_FILE) or ""
        self.run_token = _token(run)
        self.enabled = not run.is_over

    def click(self) -> None:
        """Do what a click does that comes as a message."""
        if self.enabled:
            self._on_stop()

    def _receive(self, _widget: object, content: Any, _buffers: object) -> None:
        if content == {"kind": "stop", "run_token": self.run_token}:
            self.click()


def contents_path(file: Path) -> str | None:
    """Return the path of a file for this kernel's Jupyter server; None if it does not serve it."""
    root = _server_root()
    if root is None:
        return None
    try:
        return file.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return None


def _server_root() -> Path | None:
    """Return the folder served by the server that started this kernel; None if it is unknown."""
    parent = os.environ.get("JPY_PARENT_PID")
    if not parent:
        return None
    try:
        from jupyter_server.serverapp import list_running_servers
    except ImportError:
        return None
    for server in list_running_servers():
        if str(server.get("pid")) == parent and server.get("root_dir"):
            return Path(server["root_dir"])
    return None


def _token(run: Run) -> str:
    """Return what names this run for good: its folder and its process."""
    description = run.description
    return f"{run.folder} {description.get('pid')} {description.get('process_started')}"
