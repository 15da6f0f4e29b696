"""A few pictures learnt by heart: AP and loss over the steps, and the pictures at the end."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.overfit.report import OverfitReport
from rtdetr_nb.ui.figures.base import (
    COLORS,
    GREY,
    add_legend,
    draw_pictures,
    make_neutral,
    transparent_figure,
)
from rtdetr_nb.ui.figures.predictions import predicted_rows

_SIDE = 2.3  # inches of a picture
_CURVES = 2.6  # inches of their height


def draw_overfit(result: OverfitReport) -> Figure:
    """AP and loss above; below them the pictures with true boxes and with those found at the end.

    Of many pictures the first four are shown.
    """
    record = result.predictions
    if record is None:
        figure = transparent_figure(9.2, _CURVES)
        _draw_curves(figure.subplots(1, 2), result)
        return figure
    images, rows = predicted_rows({"at the end": record})
    width = max(_SIDE * len(images), 2.4 * _SIDE)
    figure = transparent_figure(width, _CURVES + _SIDE * len(rows))
    heights = [_CURVES, _SIDE * len(rows)]
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_curves(above.subplots(1, 2), result)
    axes = below.subplots(len(rows), len(images), squeeze=False)
    for part in (above, below):
        part.patch.set_alpha(0)
    for ax in axes.flat:
        make_neutral(ax)
    draw_pictures(axes, images, rows, [COLORS[2], COLORS[0]])
    return figure


def _draw_curves(axes: np.ndarray, result: OverfitReport) -> None:
    steps = [look.step for look in result.looks]
    _draw_curve(axes[0], steps, [look.ap for look in result.looks], "AP on these pictures")
    axes[0].axhline(result.target, color=GREY, linewidth=1, linestyle=":", label="known")
    axes[0].set_ylim(0, 1)
    add_legend(axes[0], fontsize="small", loc="lower right")
    _draw_curve(axes[1], steps, [look.loss for look in result.looks], "total loss")


def _draw_curve(ax: Axes, steps: list[int], values: list[float], label: str) -> None:
    make_neutral(ax)
    ax.plot(steps, values, color=COLORS[0], linewidth=2, marker="o", markersize=4)
    ax.set_xlabel("step (optimizer update)")
    ax.set_ylabel(label)
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
