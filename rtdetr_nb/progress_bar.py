"""A bar for what takes long: one display of the cell in a notebook, a line on a terminal.

In a notebook it is updated in place and ends as one quiet line, which the saved notebook keeps; on
a terminal it stands on standard error and goes away; elsewhere (a pipe, a log) it says nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import Protocol

from rtdetr_nb.text.durations import duration
from rtdetr_nb.text.plain_text import counted

_SECONDS_BETWEEN_DRAWS = 0.2
_FIRST_GUESS = 1.0  # seconds after which the time left is told

# Threads in which a bar is shown: what is called meanwhile belongs to it, and shows none.
_busy: set[int] = set()


class Face(Protocol):
    """Where a bar is drawn."""

    def draw(self, bar: ProgressBar) -> None:
        """Show how far the bar is."""

    def close(self, bar: ProgressBar) -> None:
        """Show how it has ended."""


class ProgressBar:
    """How far something is.

    Attributes:
        title: what is done, "Probe".
        total: units in all; None if that is not known.
        unit: what is counted, in the singular, and `units` in the plural.
        done: units so far, with fractions.
        note: what is done just now; may be empty.
        failed: an error has ended it.
        curves: by label the points (x, y) of something that is measured on the way; x is the share
            of its own steps. A notebook draws them below the bar.
    """

    def __init__(
        self, title: str, total: float | None, unit: str, units: str = "", face: Face | None = None
    ):
        self.title, self.total, self.unit, self.units = title, total, unit, units or f"{unit}s"
        self.done, self.note, self.failed = 0.0, "", False
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self._face, self._started, self._drawn = face, time.monotonic(), 0.0
        self._draw()

    def advance(self, units: float = 1.0, note: str | None = None) -> None:
        """Count units, or a fraction of one, as done."""
        self.to(self.done + units, note)

    def to(self, done: float, note: str | None = None) -> None:
        """Say how many units are done in all, and what is done now."""
        self.done = done
        self.note = self.note if note is None else note
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_DRAWS:
            self._draw()

    def say(self, note: str) -> None:
        """Say what is done now."""
        self.note = note
        self._draw()

    def point(self, label: str, x: float, y: float, note: str) -> None:
        """Add a point to a curve, and say what is done now."""
        self.curves.setdefault(label, []).append((x, y))
        self.say(note)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    @property
    def share(self) -> float | None:
        """Of the whole that is done, 0 to 1; None if the whole is not known."""
        return None if not self.total else min(self.done / self.total, 1.0)

    @property
    def seconds_left(self) -> float | None:
        """Until the end if it goes on as so far; None if that cannot be guessed."""
        share = self.share
        if not share or self.seconds < _FIRST_GUESS:
            return None
        return self.seconds * (1 - share) / share

    def line(self) -> str:
        """How far it is, in words."""
        done = int(self.done)  # a unit counts when it is whole
        counts = f"{done:,} of {self._counted(self.total)}" if self.total else self._counted(done)
        left = self.seconds_left
        time_left = f"{duration(left)} left" if left is not None else duration(self.seconds)
        return " · ".join([f"{self.title}: {counts}", time_left, *([self.note] * bool(self.note))])

    def last_line(self) -> str:
        """What was done and how long it took."""
        took = duration(self.seconds)
        if self.failed:
            of = f" of {self.total:,.0f}" if self.total else ""
            return f"{self.title}: ended after {int(self.done):,}{of} {self.units}, {took}"
        return f"{self.title}: {self._counted(self.total or self.done)} in {took}"

    def part(self, share: float) -> ProgressPart:
        """A bar for a piece of the work that counts as so many units of this one."""
        return ProgressPart(self, share)

    def close(self) -> None:
        """Show how it has ended."""
        if self._face is not None:
            self._face.close(self)

    def _counted(self, count: float) -> str:
        return counted(round(count), self.unit, self.units)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._face is not None:
            self._face.draw(self)


class ProgressPart:
    """A piece of a bar, from 0 to 1, for what is told to move a bar by one."""

    def __init__(self, whole: ProgressBar, share: float):
        self.done = 0.0
        self._whole, self._share, self._begun = whole, share, whole.done

    def advance(self, units: float = 1.0, note: str | None = None) -> None:
        """As `ProgressBar.advance`."""
        self.to(self.done + units, note)

    def to(self, done: float, note: str | None = None) -> None:
        """As `ProgressBar.to`."""
        self.done = done
        self._whole.to(self._begun + self._share * done, note)

    def say(self, note: str) -> None:
        """As `ProgressBar.say`."""
        self._whole.say(note)

    def point(self, label: str, x: float, y: float, note: str) -> None:
        """As `ProgressBar.point`."""
        self._whole.point(label, x, y, note)


Bar = ProgressBar | ProgressPart
"""What can be told how far something is."""


@contextmanager
def progress(
    title: str, total: float | None = None, unit: str = "step", units: str = ""
) -> Iterator[ProgressBar]:
    """Show a bar while the block runs.

    A bar within another one, in the same thread, is not shown: the outer one speaks for both.

    Args:
        title: what is done.
        total: units in all, if known; may be set later (`bar.total`).
        unit: what is counted, in the singular.
        units: in the plural; `unit` and an s by default.
    """
    thread = get_ident()
    is_outer = thread not in _busy
    _busy.add(thread)
    bar = ProgressBar(title, total, unit, units, _face() if is_outer else None)
    try:
        yield bar
    except BaseException:
        bar.failed = True
        raise
    finally:
        if is_outer:
            _busy.discard(thread)
        bar.close()


def _face() -> Face | None:
    """A notebook's cell, a terminal, or nothing."""
    if "ipykernel" in sys.modules:
        cell = import_module("rtdetr_nb.ui.cell_bar").cell_bar()
        if cell is not None:
            return cell
    return _TerminalLine() if sys.stderr.isatty() else None


class _TerminalLine:
    """One line on standard error that goes away at the end."""

    def __init__(self) -> None:
        from tqdm import tqdm

        # Only the bar is tqdm's; the words are those that a notebook shows.
        form = "{desc} {bar}"
        self._bar = tqdm(total=1.0, leave=False, bar_format=form, dynamic_ncols=True)

    def draw(self, bar: ProgressBar) -> None:
        """Show how far the bar is."""
        self._bar.set_description_str(bar.line(), refresh=False)
        self._bar.n = bar.share or 0.0
        self._bar.refresh()

    def close(self, bar: ProgressBar) -> None:
        self._bar.close()
