"""The maps of a backbone as colours, beside the pictures that they were made from."""

from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.features import Features
from rtdetr_nb.ui.figures.base import GREY, new_figure

_WIDTH = 1.7  # inches of a picture


def draw_features(features: Features) -> Figure:
    """Draw the pictures on top, and below them one row for each stage of each set of weights.

    Args:
        features: result of `show_features`.
    """
    rows = [(name, stage) for name, stages in features.weights.items() for stage in stages]
    count = len(features.pictures)
    width, height = _WIDTH * count + 1.4, _WIDTH * (len(rows) + 1) + 0.2
    figure, axes = new_figure(width, height, columns=count, rows=len(rows) + 1)
    for ax, picture in zip(axes[0], features.pictures, strict=True):
        ax.imshow(picture)
    axes[0, 0].set_ylabel("pictures", fontsize=8)
    for line, (name, stage) in zip(axes[1:], rows, strict=True):
        for ax, colours in zip(line, stage.colours, strict=True):
            ax.imshow(colours, interpolation="nearest")
        label = f"{name}\n{stage.stage}\nrank {stage.rank:.1f}"
        line[0].set_ylabel(label, parse_math=False, fontsize=8)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.yaxis.label.set_color(GREY)
    return figure
