"""Figures as matplotlib objects, drawn without pyplot: nothing global, nothing left open.

Grounds are transparent and lines mid-grey or coloured, so that a figure reads on a light page as on
a dark one. Names of files, runs and classes are drawn as they are: matplotlib takes what stands
between two dollar signs for a formula, and fails on most of it.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle

from rtdetr_nb.ui.figures.fonts import add_fallback_fonts

# Told apart in both themes and by readers who see red and green alike (Okabe and Ito, 2008).
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
GREY = "#7f7f7f"
_SMOOTHING_SPAN = 9  # steps


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, Any]:
    """A figure of that size in inches and its axes, an array (rows, columns)."""
    figure = transparent_figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        make_neutral(ax)
    return figure, axes


class PrintedFigure(Figure):
    """A figure that a notebook shows as a picture, although pyplot knows nothing of it."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw, with a font for each name in it."""
        add_fallback_fonts(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return to_png(self)


def transparent_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, on the Agg canvas."""
    figure = PrintedFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    return figure


def make_neutral(ax: Axes) -> None:
    """Let the ground of axes be transparent, and their lines and labels mid-grey."""
    ax.patch.set_alpha(0)
    ax.tick_params(colors=GREY)
    ax.xaxis.label.set_color(GREY)
    ax.yaxis.label.set_color(GREY)
    for side, spine in ax.spines.items():
        spine.set_color(GREY)
        spine.set_visible(side in ("left", "bottom"))


def add_legend(ax: Axes, **options: Any) -> Legend:
    """A legend without a frame, whose labels may be any text.

    Args:
        ax: whose lines and bars have the labels.
        options: of `Axes.legend`.
    """
    # By default `legend` leaves out names that begin with an underscore.
    named = [artist for artist in (*ax.lines, *ax.containers) if _is_named(artist)]
    labels = [str(artist.get_label()) for artist in named]
    legend = ax.legend(named, labels, frameon=False, labelcolor=GREY, **options)
    legend.get_title().set_color(GREY)
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
    return legend


def _is_named(artist: Artist | Container) -> bool:
    """Whether the label is not one that matplotlib gives by itself."""
    label = str(artist.get_label() or "")
    return bool(label) and not re.fullmatch(r"_(child\d+|container\d+|nolegend_)", label)


def loss_figure(histories: Mapping[str, Any]) -> Figure:
    """Total loss over the steps of several runs, raw and smoothed.

    Args:
        histories: label -> DataFrame as `Run.history` gives it.
    """
    figure, axes = new_figure(7.5, 3.6)
    ax = axes[0, 0]
    for (label, history), color in zip(histories.items(), COLORS, strict=False):
        steps, loss = history.index.to_numpy(), history["loss"].to_numpy(dtype=float)
        ax.plot(steps, loss, color=color, alpha=0.3, linewidth=1)
        ax.plot(steps, smooth(steps, loss), color=color, linewidth=2, label=label)
    ax.set_xlabel("step (optimizer update)")
    ax.set_ylabel("total loss")
    if histories:
        legend = add_legend(ax)
        legend.set_title(f"thick: mean over {_SMOOTHING_SPAN} steps")
        legend.get_title().set_fontsize("small")
    return figure


def smooth(steps: np.ndarray, values: np.ndarray, span: int = _SMOOTHING_SPAN) -> np.ndarray:
    """Return the mean over the last `span` steps at each step: (N,) to (N,).

    Not every step is recorded: the official log has every 100th by default.

    Args:
        steps: (N,), growing.
        values: (N,), of these steps.
        span: in steps.
    """
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.searchsorted(steps, steps - span, side="right")
    return (total[end] - total[start]) / (end - start)


def accuracy_figure(
    loaded: Mapping[str, float], random: Mapping[str, Sequence[float]], chance: float
) -> Figure:
    """Probe accuracy by class: the loaded weights beside random ones.

    Args:
        loaded: class name -> accuracy in 0..1; the first entry is the whole.
        random: the same for random weights, one value for each seed: bars show the mean, whiskers
            the smallest and the largest.
        chance: accuracy of always guessing the most frequent class.
    """
    figure, axes = new_figure(7.5, 3.2)
    ax = axes[0, 0]
    names = list(loaded)
    position = np.arange(len(names))
    ax.bar(position - 0.2, [loaded[n] for n in names], 0.38, color=COLORS[0], label="loaded")
    means = np.array([np.mean(random[n]) for n in names])
    low = np.array([min(random[n]) for n in names])
    high = np.array([max(random[n]) for n in names])
    # Of equal values the mean may be larger than each, by rounding.
    spread = np.maximum([means - low, high - means], 0)
    ax.bar(position + 0.2, means, 0.38, color=COLORS[1], label="random")
    ax.errorbar(position + 0.2, means, spread, fmt="none", ecolor=GREY, capsize=2, linewidth=1)
    ax.axhline(chance, color=GREY, linewidth=1, linestyle=":", label="most frequent class")
    ax.set_xticks(position, names, rotation=35, ha="right", parse_math=False)
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("accuracy on held-out pictures")
    add_legend(ax, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    return figure


@dataclass(frozen=True)
class Boxes:
    """Boxes to draw on a picture.

    Attributes:
        boxes_xyxy: (N, 4) in pixels of the picture.
        names: N class names.
        scores: N scores in 0..1, or None for ground truth.
    """

    boxes_xyxy: np.ndarray
    names: Sequence[str]
    scores: Sequence[float] | None = None


def pictures_figure(
    images: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[Boxes]],
    colors: Sequence[str] = COLORS,
) -> Figure:
    """The same pictures once for each kind of boxes: ground truth, one model, another model.

    Args:
        images: (H, W, 3) uint8.
        rows: label -> boxes for each picture.
        colors: one for each row.
    """
    width = 2.3
    figure, axes = new_figure(width * len(images), width * len(rows) + 0.3, len(images), len(rows))
    draw_pictures(axes, images, rows, colors)
    return figure


def draw_pictures(
    axes: np.ndarray,
    images: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[Boxes]],
    colors: Sequence[str],
) -> None:
    """Draw what `pictures_figure` shows into axes (kinds of boxes, pictures)."""
    for row, ((label, boxes), color) in enumerate(zip(rows.items(), colors, strict=False)):
        for column, image in enumerate(images):
            ax = axes[row, column]
            ax.imshow(image, aspect="equal")
            ax.set_xticks([])
            ax.set_yticks([])
            draw_boxes(ax, boxes[column], color)
        axes[row, 0].set_ylabel(label, parse_math=False)


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as a PNG picture with a transparent ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, transparent=True)
    return buffer.getvalue()


def to_data_uri(figure: Figure, dpi: int = 110) -> str:
    """The figure as the `src` of an <img>: the page needs no other file."""
    return png_uri(to_png(figure, dpi))


def png_uri(png: bytes) -> str:
    """A PNG picture as the `src` of an <img>."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def draw_boxes(ax: Axes, boxes: Boxes, color: str) -> None:
    """Draw boxes with their names on the picture that axes show."""
    for index, (x1, y1, x2, y2) in enumerate(np.asarray(boxes.boxes_xyxy)):
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=color, linewidth=1.5))
        text = boxes.names[index]
        if boxes.scores is not None:
            text += f" {boxes.scores[index]:.2f}"
        ax.text(x1, y1, text, fontsize=6, color="white", va="bottom", clip_on=True,
                parse_math=False,
                bbox={"facecolor": color, "edgecolor": "none", "pad": 1})  # fmt: skip
