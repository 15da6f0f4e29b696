"""Precision over recall of one evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtdetr_nb.ui.figures.base import COLORS, GREY, add_legend, new_figure

_NAMED_CLASSES = len(COLORS)


def precision_recall_figure(evaluation: Mapping[str, Any]) -> Figure:
    """The curves of an evaluation: over all classes by IoU threshold, and class by class.

    Where there are many classes, the best and the worst ones are named.

    Args:
        evaluation: the content of an `evaluation.json`, of which `precision_recall` is drawn:
            `recall` (R,), `by_iou` and `by_class`, each a mapping of names to (R,).
    """
    curves = evaluation["precision_recall"]
    recall = np.asarray(curves["recall"])
    figure, axes = new_figure(9.0, 3.8, columns=2)
    by_iou, by_class = axes[0]
    for (iou, precision), color in zip(curves["by_iou"].items(), COLORS, strict=False):
        label = f"IoU {iou}   AP {np.mean(precision):.3f}"
        by_iou.plot(recall, precision, color=color, linewidth=2, label=label)
    _finish(by_iou, "all classes")
    _draw_classes(by_class, recall, curves["by_class"])
    _finish(by_class, "by class, at IoU 0.50")
    return figure


def _draw_classes(ax: Axes, recall: np.ndarray, curves: Mapping[str, Sequence[float]]) -> None:
    best_first = sorted(curves, key=lambda name: -float(np.mean(curves[name])))
    half = _NAMED_CLASSES // 2
    named = best_first
    if len(best_first) > _NAMED_CLASSES:
        named = [*best_first[:half], *best_first[-half:]]
        rest = best_first[half:-half]
        for index, name in enumerate(rest):
            label = f"{len(rest)} others" if index == len(rest) // 2 else None
            ax.plot(recall, curves[name], color=GREY, alpha=0.5, linewidth=1, label=label)
    for name, color in zip(named, COLORS, strict=False):
        label = f"{name}   AP50 {np.mean(curves[name]):.3f}"
        ax.plot(recall, curves[name], color=color, linewidth=1.5, label=label)


def _finish(ax: Axes, title: str) -> None:
    ax.set_title(title, color=GREY, fontsize="medium")
    ax.set_xlabel("recall")
    ax.set_ylabel("precision")
    ax.set_xlim(0, 1.01)
    ax.set_ylim(0, 1.05)
    if ax.lines:
        # Below the axes: curves may be anywhere in them.
        add_legend(ax, fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
