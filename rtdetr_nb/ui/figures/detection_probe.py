"""A detector on frozen features: its AP over the steps and class by class, and its boxes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.detection.result import DetectionProbe, DetectionScore
from rtdetr_nb.ui.figures.base import COLORS, GREY, Boxes, add_legend, new_figure, pictures_figure

_MOST_CLASSES = 20


def draw_detection_probe(result: DetectionProbe, boxes: bool = False) -> Figure:
    """AP over the steps with its interval at the end, and AP by class; or pictures with boxes.

    Of many classes those are shown that have most boxes.
    """
    if boxes:
        return _boxes(result)
    figure, axes = new_figure(9.5, 3.6, columns=2)
    over_steps, by_class = axes[0]
    scores = {"loaded": result.loaded, "random": result.random}
    given = {label: score for label, score in scores.items() if score is not None}
    for (label, score), color in zip(given.items(), COLORS, strict=False):
        _draw_steps(over_steps, score, label, color)
    over_steps.set_xlim(0, result.steps * 1.06)
    over_steps.set_ylim(bottom=0)
    over_steps.set_xlabel("step of the head")
    over_steps.set_ylabel("AP on held-out pictures")
    add_legend(over_steps, fontsize="small", loc="upper left")
    _draw_classes(by_class, given)
    return figure


def _draw_steps(ax: Axes, score: DetectionScore, label: str, color: str) -> None:
    steps = [0, *(record.step for record in score.records)]
    values = [0.0, *(record.ap for record in score.records)]
    ax.plot(steps, values, color=color, linewidth=2, marker="o", markersize=4,
            label=f"{label}: {score.ap:.3f}")  # fmt: skip
    low, high = score.interval
    # An interval over pictures need not hold the value itself.
    spread = [[max(score.ap - low, 0.0)], [max(high - score.ap, 0.0)]]
    ax.errorbar([steps[-1]], [score.ap], spread, fmt="none", ecolor=color, capsize=3)


def _draw_classes(ax: Axes, scores: dict[str, DetectionScore]) -> None:
    first = next(iter(scores.values()))
    asked = sorted((c for c in first.classes if c.val_boxes), key=lambda c: -c.val_boxes)
    names = [c.name for c in asked[:_MOST_CLASSES]]
    places = np.arange(len(names))
    width = 0.8 / len(scores)
    for index, ((label, score), color) in enumerate(zip(scores.items(), COLORS, strict=False)):
        found = {c.name: c.ap or 0.0 for c in score.classes}
        offset = (index - (len(scores) - 1) / 2) * width
        ax.bar(places + offset, [found[name] for name in names], width * 0.95, color=color,
               label=label)  # fmt: skip
    ax.set_xticks(places, [name for name in names], rotation=35, ha="right",
                  parse_math=False)  # fmt: skip
    ax.set_ylabel("AP by class")
    ax.set_ylim(0, 1)
    if len(asked) > len(names):
        ax.set_title(f"the {len(names)} of {len(asked)} classes with most boxes", color=GREY,
                     fontsize=9)  # fmt: skip


def _boxes(result: DetectionProbe) -> Figure:
    """The same held-out pictures with true boxes, and with the surest ones of each backbone."""
    kinds = list(result.shown[0].boxes)
    rows = {
        kind: [
            Boxes(picture.boxes[kind], picture.names[kind], picture.scores[kind] or None)
            for picture in result.shown
        ]
        for kind in kinds
    }
    colors = {"true": COLORS[2], "loaded": COLORS[0], "random": COLORS[1]}
    pixels = [picture.pixels for picture in result.shown]
    return pictures_figure(pixels, rows, [colors[kind] for kind in kinds])
