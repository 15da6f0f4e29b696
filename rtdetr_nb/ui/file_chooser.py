"""Choosing a checkpoint: a path box that completes, and the files below a folder."""

from __future__ import annotations

import os
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.reading.find_files import FoundFile, complete_path, find_checkpoint_files
from rtdetr_nb.errors import CheckpointError, UserError
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.ui.static_twin import StaticTwin

_WIDE = {"width": "auto"}


class CheckpointChooser(widgets.VBox):
    """A path box, a list of files and a button; `checkpoint` is the file that was opened last.

    In Python `chooser.path = "a.pth"` and `chooser.open_file()` do what typing and clicking do. A
    file that cannot be opened becomes a sentence, and the one before stays open.
    """

    def __init__(self, folder: str | PathLike[str] = ".", path: str | PathLike[str] | None = None):
        """List the files below `folder`; `path`, or the newest of them, stands in the box.

        Raises:
            CheckpointError: there is no such folder.
        """
        self._checkpoint: Checkpoint | None = None
        root = _expand(folder)
        files = find_checkpoint_files(root)
        self._path_box = widgets.Combobox(
            placeholder="path of a checkpoint file",
            continuous_update=True,
            layout=_WIDE,
            tooltip="Path of the checkpoint",
        )
        self._list = widgets.Select(
            options=[(_describe(file, root), str(file.path)) for file in files],
            value=None,
            rows=min(8, max(2, len(files))),
            layout=_WIDE,
            tooltip="Checkpoints below the folder",
        )
        self._button = widgets.Button(
            description="Open", tooltip="Open the file; nothing in it is run"
        )
        self._status = widgets.HTML()
        count = counted(len(files), "checkpoint file")
        heading = widgets.HTML(f"<b>{count} in {shown(str(folder))}</b>")
        bar = widgets.HBox([self._path_box, self._button])
        self._path_box.layout.flex = "1 1 auto"
        super().__init__([heading, self._list, bar, self._status])
        self._twin = StaticTwin(self._as_text, self._as_html)
        self._path_box.observe(self._complete, "value")
        self._list.observe(self._take, "value")
        self._button.on_click(lambda _: self._try_to_open())
        if path is not None or files:
            self.path = str(files[0].path if path is None else path)

    @property
    def path(self) -> str:
        """What stands in the path box."""
        return self._path_box.value

    @path.setter
    def path(self, path: str | PathLike[str]) -> None:
        self._path_box.value = str(path)

    @property
    def files(self) -> tuple[str, ...]:
        """The files in the list, the newest first."""
        return tuple(value for _, value in self._list.options)

    @property
    def status(self) -> str:
        """What the line below the box says, as HTML."""
        return self._status.value

    @property
    def checkpoint(self) -> Checkpoint:
        """The file that was opened; the one in the box if none was yet.

        Raises:
            CheckpointError: it cannot be opened.
        """
        return self._checkpoint if self._checkpoint is not None else self.open_file()

    def open_file(self, path: str | PathLike[str] | None = None) -> Checkpoint:
        """Open a file, or the one in the path box.

        Raises:
            CheckpointError: it cannot be opened.
        """
        if path is not None:
            self.path = path
        if not self.path.strip():
            raise CheckpointError("No file is chosen. Choose one of the list or type a path.")
        opened = open_checkpoint(_expand(self.path.strip()))
        self._checkpoint = opened
        held = ", ".join(f"{c.name} (HGNetv2-{c.size}, {c.dialect})"
                         for c in opened.candidates)  # fmt: skip
        word = badge("ok") if held else badge("warning")
        self._status.value = (
            f"{word} {shown(repr(opened))}: {shown(held) or 'no HGNetv2 backbone in it'}"
        )
        self._twin.update()
        return opened

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what a page without widgets can show."""
        return self._twin.beside(super()._repr_mimebundle_(**options))

    def _ipython_display_(self) -> None:
        self._twin.show(self._repr_mimebundle_())

    def _as_html(self) -> str:
        path = shown(self.path or "no file")
        return f"<p>Checkpoint: <code>{path}</code></p><p>{self.status}</p>"

    def _as_text(self) -> str:
        opened = "" if self._checkpoint is None else f"\n{self._checkpoint!r}"
        return f"Checkpoint: {self.path or 'no file'}{opened}"

    def _try_to_open(self) -> None:
        try:
            self.open_file()
        except UserError as error:
            self._status.value = f"{badge('failed')} {shown(str(error))}"

    def _complete(self, change: Any) -> None:
        try:
            self._path_box.options = complete_path(change["new"])
        except RuntimeError:  # the home of a user whose name is not typed to its end
            self._path_box.options = ()

    def _take(self, change: Any) -> None:
        if change["new"] is not None:
            self.path = change["new"]
            self._try_to_open()


def choose_checkpoint(
    folder: str | PathLike[str] = ".", path: str | PathLike[str] | None = None
) -> CheckpointChooser:
    """Return a chooser of the checkpoints below a folder, `path` or the newest chosen.

    Raises:
        CheckpointError: there is no such folder.
    """
    return CheckpointChooser(folder, path)


def _expand(path: str | PathLike[str]) -> Path:
    """The path with the home of its user, where it begins with `~`.

    Raises:
        CheckpointError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise CheckpointError(
            f"{os.fspath(path)} begins with the home of a user who is not known here. Give the "
            "whole path."
        ) from error


def _describe(file: FoundFile, folder: Path) -> str:
    day = datetime.fromtimestamp(file.modified).strftime("%Y-%m-%d %H:%M")
    return f"{file.path.relative_to(folder)}   {file.nbytes / 1e6:,.1f} MB   {day}"
