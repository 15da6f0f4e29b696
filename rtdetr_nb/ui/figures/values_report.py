"""How far each layer of two backbones is apart."""

import numpy as np
from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.movement.values_report import ValuesReport
from rtdetr_nb.ui.figures.base import COLORS, GREY, new_figure


def draw_values_report(result: ValuesReport) -> Figure:
    """Two panels with one mark a layer: the distance (log scale) and the cosine.

    Layers that are bit-identical stand as grey crosses at the bottom of the upper panel.
    """
    figure, axes = new_figure(9.5, 4.6, rows=2)
    above, below = axes[0, 0], axes[1, 0]
    layers = result.layer_distances
    distances = np.array([layer.distance for layer in layers])
    places = np.arange(len(layers))
    apart = np.isfinite(distances) & (distances > 0)
    above.plot(places[apart], distances[apart], "o", markersize=4, color=COLORS[0])
    if apart.any():
        above.set_yscale("log")
    floor = 10 ** np.floor(np.log10(distances[apart].min()) - 0.3) if apart.any() else 0.0
    same = distances == 0
    if same.any():
        above.plot(places[same], np.full(int(same.sum()), floor), "x", markersize=5, color=GREY,
                   clip_on=False)  # fmt: skip
    if apart.any():
        above.set_ylim(bottom=floor)
    above.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    above.yaxis.set_minor_formatter(lambda value, _: "")
    above.margins(y=0.2)
    above.set_ylabel("distance")
    above.set_title(f"{result.b} from {result.a}", color=GREY, fontsize=10, loc="left",
                    parse_math=False)  # fmt: skip
    below.plot(places, [layer.cosine for layer in layers], "o", markersize=4, color=COLORS[1])
    below.set_ylabel("cosine")
    parts = [layer.part for layer in layers]
    names = list(dict.fromkeys(parts))
    middles = [float(np.mean([i for i, part in enumerate(parts) if part == n])) for n in names]
    for ax in (above, below):
        for name in names[1:]:
            ax.axvline(parts.index(name) - 0.5, color=GREY, linewidth=0.6, alpha=0.5)
        ax.set_xlim(-1, max(len(layers), 1))
        ax.set_xticks(middles, names if ax is below else [""] * len(names))
        ax.tick_params(axis="x", length=0)
    return figure
