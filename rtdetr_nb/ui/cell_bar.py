"""A bar in the cell that is running, updated in place, which ends as one quiet line."""

from __future__ import annotations

from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from rtdetr_nb.progress_bar import ProgressBar
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.ui.figures.base import COLORS

_WIDTH, _HEIGHT, _MARGIN = 360, 110, 6  # of the curves, in pixels
_BAR = "width:16em;height:.9em;vertical-align:middle;margin-right:.7em;accent-color:#0072b2"


def cell_bar() -> CellBar | None:
    """Return a bar for the running cell; None if no notebook shows it."""
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
            f'aria-label="{shown(bar.title)}"></progress>{shown(bar.line())}</div>{_curves(bar)}',
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


def _curves(bar: ProgressBar) -> str:
    """What was measured on the way, as a small picture; all curves have one scale."""
    if not bar.curves:
        return ""
    most = max(y for points in bar.curves.values() for _, y in points) or 1.0
    lines, names = [], []
    for place, (label, points) in enumerate(bar.curves.items()):
        color = COLORS[place % len(COLORS)]
        drawn = " ".join(f"{_x(x):.1f},{_y(y / most):.1f}" for x, y in [(0.0, 0.0), *points])
        lines.append(f'<polyline points="{drawn}" fill="none" stroke="{color}" stroke-width="2"/>')
        names.append(f'<span style="color:{color}">&#9632;</span> {shown(label)} '
                     f"{points[-1][1]:.3f}")  # fmt: skip
    ground = f'<path d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="#7f7f7f"/>'
    return (
        f'<svg role="img" aria-label="{shown(bar.title)} so far" width="{_WIDTH}" '
        f'height="{_HEIGHT}">{ground}{"".join(lines)}</svg>'
        f"<div>{' &nbsp; '.join(names)}</div>"
    )


def _x(share: float) -> float:
    return _MARGIN + share * (_WIDTH - 2 * _MARGIN)


def _y(share: float) -> float:
    return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)
