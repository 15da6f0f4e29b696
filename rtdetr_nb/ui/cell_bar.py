"""A bar in the cell that is running, updated in place, which ends as one quiet line."""

from __future__ import annotations

from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from rtdetr_nb.progress_bar import ProgressBar
from rtdetr_nb.text.html_pieces import shown

_BAR = "width:16em;height:.9em;vertical-align:middle;margin-right:.7em;accent-color:#0072b2"


def cell_bar() -> CellBar | None:
    """Return a bar for the running cell; None where no notebook shows it."""
    return CellBar() if getattr(get_ipython(), "kernel", None) is not None else None


class CellBar:
    """One display of a cell, made by the first draw."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, bar: ProgressBar) -> None:
        """Show the bar, the counts and the time left."""
        share = "" if bar.share is None else f' value="{bar.share:.3f}"'
        self._show(
            f'<div role="status"><progress{share} max="1" style="{_BAR}" '
            f'aria-label="{shown(bar.title)}"></progress>{shown(bar.line())}</div>',
            bar.line(),
        )

    def close(self, bar: ProgressBar) -> None:
        """Leave one line, which the saved notebook keeps."""
        line = bar.last_line()
        self._show(f'<div style="opacity:.75;font-size:.92em">{shown(line)}</div>', line)

    def _show(self, html: str, text: str) -> None:
        bundle = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
