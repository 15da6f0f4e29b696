"""A data set as a picture: boxes by class, their sizes, places and shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from rtdetr_nb.datasets.checks.box_counts import usable_boxes
from rtdetr_nb.datasets.checks.report import DataReport
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.ui.figures.base import COLORS, add_legend, new_figure

_MOST_CLASSES = 15
_CELLS = 24  # of the map of places, along each side
_PLACES = LinearSegmentedColormap.from_list("places", [(0, 0.45, 0.7, 0), (0, 0.45, 0.7, 1)])


def draw_data_report(report: DataReport) -> Figure:
    """Draw the boxes of both splits by class, size, place and aspect ratio.

    Args:
        report: of `check_data`.
    """
    figure, axes = new_figure(10, 6.4, columns=2, rows=2)
    splits = (report.source.train, report.source.val)
    _draw_classes(axes[0, 0], report)
    _draw_sizes(axes[0, 1], splits)
    _draw_places(axes[1, 0], report.source.train)
    _draw_ratios(axes[1, 1], splits)
    return figure


def _draw_classes(ax: Axes, report: DataReport) -> None:
    train, val = (report.classes[split] for split in ("train", "val"))
    boxes = {
        label: (
            train[label].boxes if label in train else 0,
            val[label].boxes if label in val else 0,
        )
        for label in report.names
    }
    most = sorted(boxes, key=lambda label: -sum(boxes[label]))[:_MOST_CLASSES]
    places = np.arange(len(most))
    for index, name in enumerate(("train", "val")):
        heights = [boxes[label][index] for label in most]
        ax.bar(places + 0.4 * index - 0.2, heights, 0.4, color=COLORS[index], label=name)
    ax.set_xticks(places, [report.names[label] for label in most], rotation=45, ha="right")
    for text in ax.get_xticklabels():
        text.set_parse_math(False)
    rest = len(boxes) - len(most)
    ax.set_ylabel("boxes" + (f" (without {rest} rarer classes)" if rest else ""))
    if len(most):
        add_legend(ax)


def _draw_sizes(ax: Axes, splits: tuple[Split, Split]) -> None:
    for split, color in zip(splits, COLORS, strict=False):
        _, _, width, height = _boxes(split).T
        sides = np.sqrt(width * height)
        if len(sides):
            bins = np.geomspace(max(1, sides.min()), sides.max() + 1, 30).tolist()
            weights = np.full(len(sides), 1 / len(sides))
            ax.hist(sides, bins, weights=weights, histtype="step", color=color, label=split.name)
    for limit in (32, 96):
        ax.axvline(limit, color=COLORS[2], linewidth=0.8, linestyle=":")
    _halve_axis(ax, lambda side, _: f"{side:g}")
    ax.set_xlabel("side of a box in pixels (dotted: COCO's small and medium)")
    ax.set_ylabel("share of the boxes")
    if ax.patches:
        add_legend(ax)


def _draw_places(ax: Axes, split: Split) -> None:
    usable = usable_boxes(split)
    sizes = np.take(split.pictures.sizes_wh, split.pictures.boxes.images[usable], axis=0)
    x, y, width, height = _boxes(split).T
    listed = (sizes > 0).all(axis=1)
    if listed.any():
        centres = (
            (x + width / 2)[listed] / sizes[listed, 0],
            (y + height / 2)[listed] / sizes[listed, 1],
        )
        counts, _, _ = np.histogram2d(*centres, bins=_CELLS, range=[[0, 1], [0, 1]])
        ax.imshow(counts.T, cmap=_PLACES, extent=(0, 1, 1, 0), aspect="auto")
    ax.set_xlabel("centre of a box, from left to right of its picture")
    ax.set_ylabel("from top to bottom")


def _draw_ratios(ax: Axes, splits: tuple[Split, Split]) -> None:
    bins = np.geomspace(1 / 8, 8, 31).tolist()
    for split, color in zip(splits, COLORS, strict=False):
        _, _, width, height = _boxes(split).T
        if len(width):
            ratios = np.clip(width / height, bins[0], bins[-1])
            weights = np.full(len(ratios), 1 / len(ratios))
            ax.hist(ratios, bins, weights=weights, histtype="step", color=color, label=split.name)
    _halve_axis(ax, lambda ratio, _: f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:g}")
    ax.set_xlabel("width of a box over its height")
    ax.set_ylabel("share of the boxes")


def _halve_axis(ax: Axes, label: Callable[[float, int], str]) -> None:
    """Let each tick be twice the one before it, written in plain numbers."""
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(FuncFormatter(label))
    ax.xaxis.set_minor_locator(NullLocator())


def _boxes(split: Split) -> np.ndarray:
    return split.pictures.boxes.boxes_xywh[usable_boxes(split)]
