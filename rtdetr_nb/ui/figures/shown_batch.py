"""A training batch as a picture: what was annotated, and below it what the network sees."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtdetr_nb.datasets.batches.shown_batch import BatchPicture, BoxedPicture, ShownBatch
from rtdetr_nb.ui.figures.base import COLORS, Boxes, draw_boxes, new_figure

_COLUMNS = 4
_SIDE = 2.5  # inches of a picture
_ROWS = (("before", COLORS[2]), ("after", COLORS[5]))
_TITLES = {"before": "as annotated", "after": "as the network sees it"}


def draw_shown_batch(batch: ShownBatch) -> Figure:
    """Draw pictures in pairs, one below the other.

    Args:
        batch: of `show_batch`.
    """
    columns = min(_COLUMNS, len(batch.pictures))
    bands = [batch.pictures[i : i + columns] for i in range(0, len(batch.pictures), columns)]
    figure, axes = new_figure(columns * _SIDE, 2 * len(bands) * _SIDE, columns, 2 * len(bands))
    for ax in axes.flat:
        ax.axis("off")
    for number, band in enumerate(bands):
        for (side, color), row in zip(_ROWS, axes[2 * number : 2 * number + 2], strict=True):
            _draw_row(row, [getattr(each, side) for each in band], color)
            row[0].set_ylabel(_TITLES[side])
        _name_files(axes[2 * number], band)
    return figure


def _draw_row(row: Sequence[Axes], pictures: Sequence[BoxedPicture], color: str) -> None:
    for ax, picture in zip(row, pictures, strict=False):
        ax.axis("on")
        ax.imshow(picture.pixels, aspect="equal")
        ax.set_xticks([])
        ax.set_yticks([])
        draw_boxes(ax, Boxes(picture.boxes_xyxy, picture.names), color)


def _name_files(row: Sequence[Axes], band: Sequence[BatchPicture]) -> None:
    for ax, each in zip(row, band, strict=False):
        name = each.path.name
        ax.set_title(name if len(name) <= 32 else f"...{name[-29:]}", fontsize=7, color="#7f7f7f",
                     parse_math=False)  # fmt: skip
