"""A ranking as dots with intervals, or as a curve over the epochs."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rtdetr_nb.diagnostics.ranking.result import RankedFile, Ranking
from rtdetr_nb.ui.figures.base import COLORS, GREY, add_legend, new_figure

_MOST = 40  # files that are drawn
_LONGEST = 40  # characters of a name


def draw_ranking(result: Ranking) -> Figure:
    """Share of the boxes that each file names, with 95 %, in the colour of its group.

    Over the epochs where every file has another one; else one row a file, the best on top.
    """
    files = result.ranked[:_MOST]
    epochs = [file.epoch for file in files]
    over_epochs = len(files) > 1 and None not in epochs and len(set(epochs)) == len(files)
    figure, axes = new_figure(7.5, 3.6 if over_epochs else 1.1 + 0.34 * max(len(files), 2))
    ax = axes[0, 0]
    (_draw_epochs if over_epochs else _draw_rows)(ax, files)
    _draw_random(ax, result, upright=not over_epochs)
    for group in sorted({file.group for file in files if file.group}):
        ax.plot([], [], "o", color=_color(group), label=f"group {group}")
    add_legend(ax, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=6)
    if len(result.ranked) > len(files):
        ax.set_title(f"the first {len(files)} of {len(result.ranked)}", color=GREY, fontsize=9)
    return figure


def _draw_epochs(ax: Axes, files: tuple[RankedFile, ...]) -> None:
    ordered = sorted(files, key=lambda file: file.epoch or 0)
    ax.plot([f.epoch or 0 for f in ordered], [f.accuracy or 0.0 for f in ordered],
            color=GREY, linewidth=1, zorder=1)  # fmt: skip
    for file in ordered:
        ax.errorbar([file.epoch or 0], [file.accuracy or 0.0], _bars(file), fmt="o",
                    color=_color(file.group), capsize=3)  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("epoch")
    ax.set_ylabel("held-out boxes named")


def _draw_rows(ax: Axes, files: tuple[RankedFile, ...]) -> None:
    for row, file in enumerate(files):
        ax.errorbar([file.accuracy or 0.0], [row], xerr=_bars(file), fmt="o",
                    color=_color(file.group), capsize=3)  # fmt: skip
    names = [f.name if len(f.name) <= _LONGEST else f"…{f.name[-_LONGEST:]}" for f in files]
    ax.set_yticks(range(len(files)), names, parse_math=False)
    ax.set_ylim(len(files) - 0.5, -0.5)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("held-out boxes named")


def _draw_random(ax: Axes, result: Ranking, upright: bool) -> None:
    line = ax.axvline if upright else ax.axhline
    line(result.random.accuracy, color=GREY, linestyle=":", label="random weights")


def _bars(file: RankedFile) -> list[list[float]]:
    """How far the interval reaches to both sides."""
    assert file.interval is not None and file.accuracy is not None
    low, high = file.interval
    return [[max(file.accuracy - low, 0.0)], [max(high - file.accuracy, 0.0)]]


def _color(group: int | None) -> str:
    return COLORS[((group or 1) - 1) % len(COLORS)]
