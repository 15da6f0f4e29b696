"""The picture of runs: losses raw and smoothed, parts of the loss, learning rates.

One figure for the whole life of a plot: new values go into the lines that are there.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from PIL import Image

from rtdetr_nb.runs.progress import LOSS, RunProgress
from rtdetr_nb.ui.figures.base import COLORS, add_legend, make_neutral, smooth, transparent_figure

_DOTS_PER_INCH = 110
_MOST_POINTS = 1500  # of a line: more cannot be told apart on a screen
_LEAST_SPAN = 9  # steps that are averaged
_SPAN_SHARE = 1 / 50  # of the steps, in a long run
_STYLES = ("-", "--", ":", "-.")


class RunFigure:
    """A figure of one or more runs; the first one's parts and learning rates are shown too.

    Attributes:
        figure: the matplotlib figure, on the Agg canvas, unknown to pyplot.
    """

    def __init__(self, labels: Sequence[str], parts: Sequence[str]) -> None:
        self.figure = transparent_figure(9.5, 3.8)
        self.figure.set_dpi(_DOTS_PER_INCH)
        self._layout = self.figure.get_layout_engine()
        self._drawn = 0
        grid = self.figure.add_gridspec(2, 2, width_ratios=(1.7, 1))
        self._total = self._axes(grid[:, 0], "total loss")
        self._parts = self._axes(grid[0, 1], "parts of the loss")
        self._rates = self._axes(grid[1, 1], "learning rate")
        self._total.set_xlabel("step (optimizer update)")
        self._rates.set_xlabel("step")
        self._raw: list[Line2D] = []
        self._smooth: list[Line2D] = []
        for label, color in zip(labels, run_colors(len(labels)), strict=True):
            self._raw += self._total.plot([], [], color=color, alpha=0.45, linewidth=1)
            self._smooth += self._total.plot([], [], color=color, linewidth=2, label=label)
        self._part_lines = {
            name: self._parts.plot([], [], color=COLORS[0], linewidth=1.5, label=name,
                                   linestyle=_STYLES[i % len(_STYLES)])[0]
            for i, name in enumerate(parts)
        }  # fmt: skip
        self._rate_lines: list[Line2D] = []
        self._legend = add_legend(self._total, loc="upper right")
        self._legend.get_title().set_fontsize("small")
        if parts:
            add_legend(
                self._parts, fontsize="small", ncols=len(parts), loc="lower right",
                bbox_to_anchor=(1.02, 0.96), columnspacing=1.0,
                title=labels[0] if len(labels) > 1 else None,
                title_fontproperties={"size": "small"},
            )  # fmt: skip

    def _axes(self, place: object, label: str) -> Axes:
        axes = self.figure.add_subplot(place)  # type: ignore[arg-type]  # a SubplotSpec
        make_neutral(axes)
        axes.set_ylabel(label)
        axes.locator_params(axis="y", nbins=6 if label == "total loss" else 4)
        return axes

    def show(self, runs: Sequence[RunProgress]) -> None:
        """Put the records of the runs so far into the lines."""
        longest = max((run.steps[-1] for run in runs if run.steps), default=0)
        span = max(_LEAST_SPAN, round(longest * _SPAN_SHARE))
        for run, raw, smoothed in zip(runs, self._raw, self._smooth, strict=True):
            steps, loss = np.asarray(run.steps), np.asarray(run.losses[LOSS])
            raw.set_data(*thin(steps, loss))
            smoothed.set_data(*thin(steps, smooth(steps, loss, span)))
        first = runs[0]
        steps = np.asarray(first.steps)
        for name, line in self._part_lines.items():
            line.set_data(*thin(steps, smooth(steps, np.asarray(first.losses[name]), span)))
        self._show_rates(first)
        self._legend.set_title(f"thick: mean over {span} steps")
        self._scale(runs)

    def _show_rates(self, run: RunProgress) -> None:
        groups = min(map(len, run.learning_rates), default=0)
        for index in range(len(self._rate_lines), groups):
            self._rate_lines += self._rates.plot([], [], color=COLORS[0], linewidth=1.5,
                                                 linestyle=_STYLES[index % len(_STYLES)],
                                                 label=run.rate_title(index))  # fmt: skip
            add_legend(self._rates, fontsize="x-small")
        steps = np.asarray(run.steps)
        for index, line in enumerate(self._rate_lines[:groups]):
            line.set_data(*thin(steps, np.asarray([rates[index] for rates in run.learning_rates])))

    def _scale(self, runs: Sequence[RunProgress]) -> None:
        ends = [_last_step(run) for run in runs]
        for axes, end in (
            (self._total, max(ends)),
            (self._parts, ends[0]),
            (self._rates, ends[0]),
        ):
            axes.relim()
            axes.autoscale_view()
            if end > 0:
                axes.set_xlim(0, end * 1.02)
        if any(len(run.steps) for run in runs):
            self._rates.set_ylim(bottom=0, auto=True)  # and go on following the values

    def png(self) -> bytes:
        """The figure as it stands."""
        # Margins follow the tick labels, which change more and more rarely; finding them costs as
        # much as the drawing.
        self._drawn += 1
        settling = self._drawn & (self._drawn - 1) == 0
        self.figure.set_layout_engine(self._layout if settling else "none")
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()  # once, where `savefig` draws twice
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(canvas.buffer_rgba())).save(buffer, "png", compress_level=1)
        return buffer.getvalue()


def run_colors(count: int) -> list[str]:
    """Return a colour for each run; they repeat if there are more runs than colours."""
    return [COLORS[index % len(COLORS)] for index in range(count)]


def thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of neighbours if there are more points than a screen shows: (N,) to (M,)."""
    size = -(-len(steps) // _MOST_POINTS)
    if size <= 1:
        return steps, values
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return steps[starts], np.add.reduceat(values, starts) / counts


def _last_step(run: RunProgress) -> int:
    """Return where the axis of a run ends: its planned last step, or its real one if it is over."""
    planned = 0 if run.is_over else run.total_steps or 0
    return max([planned, *run.steps[-1:]])
