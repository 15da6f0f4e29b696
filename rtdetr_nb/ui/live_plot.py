"""A plot that follows runs while they train, without blocking the kernel.

A thread reads what the runs have recorded since, draws it, and sends the picture to the page as the
value of an image widget, which a reloaded page shows again. When the runs end, a plain picture
takes the widget's place in the cell, so that the saved notebook keeps it.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

import ipywidgets
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.progress import MAIN_PARTS, RunProgress
from rtdetr_nb.runs.run import Run
from rtdetr_nb.text.html_pieces import error_html, picture_html
from rtdetr_nb.ui.figures.base import png_uri
from rtdetr_nb.ui.figures.run import RunFigure, run_colors
from rtdetr_nb.ui.run_chart import RunChart, chart_html
from rtdetr_nb.ui.served_page import is_served_page
from rtdetr_nb.ui.widget_tree import close_widgets

_SECONDS_BETWEEN_LOOKS = 0.5
# Of the machine's processor time: a training on the same processors loses as much.
_SHARE_FOR_DRAWING = 0.015

# The plots that are kept up to date, by whether a panel follows them and by their folders: a plot
# that stands alone in a cell replaces an earlier one of the same runs, but never a panel's plot.
_watched: "WeakValueDictionary[tuple[bool, tuple[str, ...]], LivePlot]" = WeakValueDictionary()
_REPLACED = "A newer plot of the same runs goes on; this one stands still."


def live_plot(
    run: Run,
    *others: Run,
    labels: Sequence[str] = (),
    parts: Sequence[str] = MAIN_PARTS,
) -> "LivePlot":
    """Plot the losses of runs as they train; the last line of a cell shows it.

    The plot goes on by itself until all runs have ended, while other cells run, and also while one
    blocks the kernel. It survives a reload of the page; after a restart of the kernel run the cell
    again, with `attach_run`. A new plot of the same runs takes the place of the one before.

    Args:
        run: whose parts of the loss and learning rates are shown too.
        others: runs to compare with: from random weights, or earlier ones.
        labels: what to call the runs; the names of their folders by default.
        parts: official names of the losses that are shown beside the total.

    Raises:
        RunError: the labels are not as many as the runs.
    """
    return LivePlot(follow([run, *others], labels, tuple(parts)))


def follow(
    runs: Sequence[Run], labels: Sequence[str] = (), parts: tuple[str, ...] = MAIN_PARTS
) -> list[RunProgress]:
    """Return a follower for each run.

    Raises:
        RunError: the labels are not as many as the runs.
    """
    check_labels(labels, len(runs))
    names = labels or [run.folder.name for run in runs]
    return [RunProgress(run, name, parts) for run, name in zip(runs, names, strict=True)]


class LivePlot:
    """The plot of `live_plot`; in plain Python `update()` and `figure` do the same without a page.

    Args:
        progress: a follower for each run, at least one; the plot alone updates them. The parts of
            the loss that the first one keeps are shown beside the total.
        on_update: called with the plot after each look, from the thread that looked; a panel
            follows its plot in this way.
    """

    def __init__(
        self,
        progress: Sequence[RunProgress],
        on_update: Callable[["LivePlot"], None] | None = None,
    ) -> None:
        self._progress = list(progress)
        self._on_update = on_update
        self._drawing = RunFigure([run.label for run in progress], progress[0].parts)
        self._png = b""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._handles: list[DisplayHandle] = []
        self._note = self._note_html = ""  # why the plot stands still, if the runs go on
        for follower in self._progress:
            follower.update()  # so that the page begins with what there is
        self._make_widget()
        self.update()

    def _make_widget(self) -> None:
        self._image = ipywidgets.Image(value=self._png, format="png", layout={"max_width": "100%"})
        self._status = ipywidgets.HTML(self.html)
        self._chart = RunChart(self._progress)
        self.widget = ipywidgets.VBox([self._status, self._image, self._chart])

    @property
    def figure(self) -> Figure:
        """The figure as of the last `update`."""
        return self._drawing.figure

    @property
    def chart(self) -> RunChart:
        """The same values in a chart to hover over, zoom and smooth; the last line of a cell.

        It follows runs that go on, and stays when they have ended.
        """
        if self._chart.comm is None:
            self._make_widget()
        if not self.is_over:
            self.start()
        return self._chart

    @property
    def png(self) -> bytes:
        """The picture as of the last `update`."""
        return self._png

    @property
    def text(self) -> str:
        """The status of the runs, one or more lines for each."""
        lines = [*(run.text() for run in self._progress), self._note]
        return "\n".join(line for line in lines if line)

    @property
    def html(self) -> str:
        """The status of the runs, with the colours of their lines."""
        colors = run_colors(len(self._progress))
        runs = zip(self._progress, colors, strict=True)
        return "".join(run.html(color) for run, color in runs) + self._note_html

    @property
    def is_over(self) -> bool:
        """Whether all runs have ended, as of the last `update`."""
        return all(run.is_over for run in self._progress)

    @property
    def is_watching(self) -> bool:
        """Whether a thread keeps the plot up to date."""
        return self._thread is not None and self._thread.is_alive()

    def update(self) -> bool:
        """Read what the runs have recorded since, and draw it; return whether there was any."""
        with self._lock:
            changed = [run.update() for run in self._progress]
            if any(changed) or not self._png:
                self._drawing.show(self._progress)
                self._png = self._drawing.png()
                self._image.value = self._png
                self._chart.follow()
            html = self.html
            if html != self._status.value:
                self._status.value = html
        return any(changed)

    def start(self) -> None:
        """Keep the plot up to date from a thread, until all runs have ended or `stop`."""
        if self.is_watching:
            return
        folders = tuple(str(follower.run.folder.resolve()) for follower in self._progress)
        key = (self._on_update is not None, folders)
        earlier = _watched.get(key)
        if earlier is not None and earlier is not self and earlier.is_watching:
            earlier._set_note(_REPLACED, f"<i>{_REPLACED}</i>")
            earlier.stop()
        _watched[key] = self
        self._stopping.clear()
        self._set_note("", "")
        self._thread = threading.Thread(target=self._watch, name="live plot", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and leave the picture as it stands; the runs go on."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._publish()

    def wait(self) -> None:
        """Wait until all runs have ended; interrupting this harms neither the runs nor the plot."""
        while not self.is_over:
            if not self.is_watching:
                self.update()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if self._thread is not None:
            self._thread.join()
        self._publish()

    def close(self) -> None:
        """End the thread and take the widget from the page; a published picture stays."""
        self.stop()
        close_widgets(self.widget)

    def _watch(self) -> None:
        pause = 0.0
        try:
            while not self._stopping.wait(pause):
                began = time.thread_time()
                drawn = self.update()
                if self._on_update is not None:
                    self._on_update(self)
                pause = pause_after(time.thread_time() - began if drawn else 0.0)
                if self.is_over:
                    break
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            message = f"The plot stopped because of an unexpected error ({reason})."
            self._set_note(message, error_html(message))
            raise
        finally:
            self._publish()

    def _set_note(self, note: str, html: str) -> None:
        """Write a sentence below the status of the runs."""
        self._note, self._note_html = note, html
        self._status.value = self.html

    def _publish(self) -> None:
        """Put what needs no kernel where the widget was: that is what a saved notebook keeps.

        The widget is closed, since no page shows it any more. It stays if somebody else has put it
        on a page (there is no handle of a cell), and on a page of Voila, which would show nothing.
        """
        if is_served_page():
            return
        for handle in self._handles:
            handle.update(self._static_bundle(), raw=True)
        if self._handles:
            close_widgets(self.widget)

    @property
    def static_html(self) -> str:
        """Status and picture for a page that has no kernel."""
        return self.html + self._picture()

    def _picture(self) -> str:
        return picture_html(self.text, png_uri(self._png))

    def _static_bundle(self) -> dict[str, str]:
        """Status and chart, which needs no kernel; the picture where no script runs."""
        has_steps = any(run.steps for run in self._progress)
        shown = chart_html(self._progress, self._picture()) if has_steps else self._picture()
        return {"text/html": self.html + shown, "text/plain": self.text}

    def _ipython_display_(self) -> None:
        """Show the plot in a cell, and follow the runs as long as they go."""
        if self.is_over:
            display(self._static_bundle(), raw=True)
            return
        if self.widget.comm is None:  # it was closed when the plot stopped
            self._make_widget()
        bundle: dict[str, object] = dict(self.widget._repr_mimebundle_() or {})
        handle = display({**bundle, "text/plain": self.text}, raw=True, display_id=True)
        if handle is not None:
            self._handles.append(handle)
        self.start()

    def __repr__(self) -> str:
        return f"LivePlot({self.text})"


def check_labels(labels: Sequence[str], runs: int) -> None:
    """Refuse labels that are not as many as the runs.

    Raises:
        RunError: there are labels, but not one for each run.
    """
    if labels and len(labels) != runs:
        raise RunError(
            f"There are {len(labels)} labels for {runs} runs. Give one for each, or none."
        )


def pause_after(processor_seconds: float) -> float:
    """Seconds until the next look, so that drawing takes no more than its share of the machine."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(_SECONDS_BETWEEN_LOOKS, processor_seconds / (_SHARE_FOR_DRAWING * processors))
