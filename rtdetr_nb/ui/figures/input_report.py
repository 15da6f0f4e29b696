"""The input format as a picture: the hypotheses, and every norm from the stem to the last stage."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.input_format.input_report import InputReport
from rtdetr_nb.diagnostics.input_format.norm_fit import FAR, FAR_FIRST, STRANGE, NormFit
from rtdetr_nb.ui.figures.base import COLORS, GREY, add_legend, make_neutral, transparent_figure

_BLUE, _ORANGE, _GREEN, _, _, _RED = COLORS
_FLOOR = 1e-3  # of what is drawn on a logarithmic scale
_MOST = 12  # hypotheses
_LINE = 112  # characters of a title


def draw_input_report(report: InputReport) -> Figure:
    """Draw what `check_input` found.

    Args:
        report: its result; what it does not hold is said in place of a drawing.
    """
    figure = transparent_figure(9.5, 6.6)
    title = _wrapped(f"{report.sentence} Verdict: {report.verdict}.")
    figure.suptitle(title, color=GREY, fontsize=9, x=0.01, ha="left", parse_math=False)
    upper, lower = figure.subplots(2, 1, height_ratios=(1.0, 1.1))
    for ax in (upper, lower):
        make_neutral(ax)
    _draw_hypotheses(upper, report)
    _draw_layers(lower, report.fits)
    return figure


def _draw_hypotheses(ax: Axes, report: InputReport) -> None:
    table = report.table.head(_MOST)
    if table.empty:
        _say(ax, "The first norm says nothing of the input format.")
        return
    positions = np.arange(len(table))[::-1]
    distances = table[["divergence", "usual_light"]].min(axis=1).clip(lower=_FLOOR)
    colors = [_GREEN if times < 2 else _BLUE for times in table["times"]]
    ax.barh(positions, distances, color=colors, height=0.7, left=_FLOOR)
    ax.set_xscale("log")
    ax.set_xlim(_FLOOR, distances.max() * 30)
    ax.set_yticks(positions, list(table["what"]), fontsize=7)
    for position, distance, times in zip(positions, distances, table["times"], strict=True):
        words = f"{distance:.2g}" + (f"  ({times:,.0f} times)" if times >= 2 else "")
        ax.text(distance * 1.2, position, words, color=GREY, fontsize=7, va="center")
    ax.set_xlabel("divergence from what the first norm remembers (green: not excluded)", fontsize=8)


def _draw_layers(ax: Axes, fits: Sequence[NormFit]) -> None:
    if not fits:
        _say(ax, "There are no norms: they are folded into the convolutions.")
        return
    positions = np.arange(len(fits))
    for values, color, label in (
        ([fit.divergence for fit in fits], _BLUE, "divergence"),
        ([fit.mismatch for fit in fits], _ORANGE, "mismatch of channels"),
    ):
        shown = np.clip(np.nan_to_num(values, nan=1e6), _FLOOR, 1e6)
        ax.plot(positions, shown, color=color, linewidth=1.5, label=label, marker=".", markersize=4)
    far = [FAR_FIRST if fit.is_first else FAR for fit in fits]
    for levels, color in ((far, _BLUE), ([STRANGE] * len(fits), _ORANGE)):
        ax.step(positions, levels, color=color, linewidth=1, linestyle=":", where="mid")
    broken = [place for place, fit in enumerate(fits) if fit.is_broken]
    for place in broken:
        ax.axvspan(place - 0.5, place + 0.5, color=_RED, alpha=0.25, linewidth=0)
    ax.set_yscale("log")
    ax.set_xlim(-0.5, len(fits) - 0.5)
    _mark_parts(ax, fits)
    ax.set_ylabel("dotted: alarm", fontsize=8)
    if broken:
        first = fits[broken[0]]
        words = _wrapped(f"The first that does not fit is {first.name}: {first.cause}.")
        ax.set_title(words, color=GREY, fontsize=8, loc="left", parse_math=False)
    add_legend(ax, ncols=2, loc="upper right", fontsize=8, bbox_to_anchor=(1.0, -0.08))


def _mark_parts(ax: Axes, fits: Sequence[NormFit]) -> None:
    """Name the parts below the axis, with a line where each begins."""
    starts = [i for i, fit in enumerate(fits) if i == 0 or fit.part != fits[i - 1].part]
    ends = [*starts[1:], len(fits)]
    for start in starts[1:]:
        ax.axvline(start - 0.5, color=GREY, linewidth=0.7, alpha=0.6)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    ax.set_xticks(middles, [fits[start].part for start in starts], fontsize=8)
    ax.tick_params(axis="x", length=0)


def _say(ax: Axes, words: str) -> None:
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, color=GREY, ha="center", va="center", transform=ax.transAxes)


def _wrapped(words: str) -> str:
    return "\n".join(wrap(words, _LINE, max_lines=3, placeholder=" ..."))
