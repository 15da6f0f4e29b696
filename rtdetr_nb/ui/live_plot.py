"""A plot that follows runs while they train, without blocking the kernel.

The plot is a figure, and the runs are folders; nothing else is known. A thread reads what the runs
have recorded since and sends the picture to the page as the value of an image widget, which a
reloaded page shows again. When the runs end, a plain picture takes the widget's place in the cell,
so that the saved notebook keeps it.
"""

import base64
import os
import threading
import time
from collections.abc import Callable, Sequence
from html import escape
from weakref import WeakValueDictionary

import ipywidgets
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.progress import MAIN_PARTS, RunProgress, error_html
from rtdetr_nb.runs.run import Run
from rtdetr_nb.ui.figures.run import RunFigure, run_colors
from rtdetr_nb.ui.widget_tree import close_widgets

_SECONDS_BETWEEN_LOOKS = 0.5
# Of the machine's processor time; with the training on the same processors this is what it loses.
_SHARE_FOR_DRAWING = 0.015

# The plots that are kept up to date, by whether another widget follows them and by their folders: a
# plot in a cell of its own takes the place of another such one, never that of a panel's plot.
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
    return LivePlot([run, *others], labels, parts)


class LivePlot:
    """The plot of `live_plot`; in plain Python `update()` and `figure` do the same without a page.

    Args:
        runs: at least one.
        labels: one for each run, or none.
        parts: losses of the first run that are shown beside the total.
        on_update: called with the plot after each look, from the thread that looked; by this a
            panel follows its plot.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        labels: Sequence[str] = (),
        parts: Sequence[str] = MAIN_PARTS,
        on_update: Callable[["LivePlot"], None] | None = None,
    ) -> None:
        check_labels(labels, len(runs))
        names = list(labels) or [run.folder.name for run in runs]
        self.runs = list(runs)
        self._progress = [
            RunProgress(run, name, tuple(parts)) for run, name in zip(runs, names, strict=True)
        ]
        self._on_update = on_update
        self._drawing = RunFigure(names, parts)
        self._png = b""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._handles: list[DisplayHandle] = []
        self._note = self._note_html = ""  # why the plot stands still, if that needs a word
        self._make_widget()
        self.update()

    def _make_widget(self) -> None:
        self._image = ipywidgets.Image(value=self._png, format="png", layout={"max_width": "100%"})
        self._status = ipywidgets.HTML(self.html)
        self.widget = ipywidgets.VBox([self._status, self._image])

    @property
    def figure(self) -> Figure:
        """The figure as of the last `update`."""
        return self._drawing.figure

    @property
    def png(self) -> bytes:
        """The picture as of the last `update`."""
        return self._png

    @property
    def text(self) -> str:
        """How the runs stand, one or more lines for each."""
        lines = [*(run.text() for run in self._progress), self._note]
        return "\n".join(line for line in lines if line)

    @property
    def html(self) -> str:
        """How the runs stand, with the colours of their lines."""
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
        """Read what the runs have recorded since, and draw if that was anything; whether it was."""
        with self._lock:
            changed = [run.update() for run in self._progress]
            if any(changed) or not self._png:
                self._drawing.show(self._progress)
                self._png = self._drawing.png()
                self._image.value = self._png
            html = self.html
            if html != self._status.value:
                self._status.value = html
        return any(changed)

    def start(self) -> None:
        """Keep the plot up to date from a thread, until all runs have ended or `stop`."""
        if self.is_watching:
            return
        folders = tuple(str(run.folder.resolve()) for run in self.runs)
        key = (self._on_update is not None, folders)
        earlier = _watched.get(key)
        if earlier is not None and earlier is not self and earlier.is_watching:
            earlier._tell(_REPLACED, f"<i>{_REPLACED}</i>")
            earlier.stop()
        _watched[key] = self
        self._stopping.clear()
        self._tell("", "")
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
            message = (
                f"The plot has ended by a failure of its own ({type(error).__name__}: {error})."
            )
            self._tell(message, error_html(message))
            raise
        finally:
            self._publish()

    def _tell(self, note: str, html: str) -> None:
        """Say something below how the runs stand."""
        self._note, self._note_html = note, html
        self._status.value = self.html

    def _publish(self) -> None:
        """Put a plain picture where the widget was: that is what a saved notebook keeps.

        The widget, which no page shows any more, is closed; one that was put on a page otherwise
        stays.
        """
        for handle in self._handles:
            handle.update(self._static_bundle(), raw=True)
        if self._handles:
            close_widgets(self.widget)

    @property
    def static_html(self) -> str:
        """Status and picture for a page that has no kernel."""
        picture = base64.b64encode(self._png).decode("ascii")
        return (
            f'{self.html}<img alt="{escape(self.text, quote=True)}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}">'
        )

    def _static_bundle(self) -> dict[str, str]:
        return {"text/html": self.static_html, "text/plain": self.text}

    def _ipython_display_(self) -> None:
        """Show the plot in a cell, and follow the runs as long as they go."""
        if self.is_over:
            display(self._static_bundle(), raw=True)
            return
        if self.widget.comm is None:  # closed, as the plot stood still
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
        RunError: they are not, and there are some.
    """
    if labels and len(labels) != runs:
        raise RunError(
            f"There are {len(labels)} labels for {runs} runs. Give one for each, or none."
        )


def pause_after(processor_seconds: float) -> float:
    """Seconds until the next look, so that drawing takes no more than its share of the machine."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(_SECONDS_BETWEEN_LOOKS, processor_seconds / (_SHARE_FOR_DRAWING * processors))
