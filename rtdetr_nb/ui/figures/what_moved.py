"""How far each layer has moved in a run."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.movement.change import FROZEN, Movement
from rtdetr_nb.diagnostics.movement.result import WhatMoved
from rtdetr_nb.ui.figures.base import COLORS, GREY, add_legend, new_figure

_BLUE, _RED = COLORS[0], COLORS[5]


def draw_what_moved(result: WhatMoved) -> Figure:
    """One mark a layer, from the stem to the decoder, by how far it has moved (log scale).

    Filled marks are the weights that are trained, open ones their average. What did not move
    stands on a line at the bottom: grey crosses where it is frozen, red ones where it is trainable.
    A layer that began at zero, which has no relative change, stands at the top.
    """
    figure, axes = new_figure(9.5, 3.8)
    ax: Axes = axes[0, 0]
    layers = [layer for layer in result.layers if layer.moved is not None]
    floor, ceiling = _span(layers)
    _draw_moved(ax, layers)
    _draw_edges(ax, layers, floor, ceiling)
    _name_parts(ax, layers)
    ax.set_yscale("log")
    ax.set_ylim(floor, ceiling)
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    ax.yaxis.set_minor_formatter(lambda value, _: "")
    ax.set_ylabel("relative change of a layer")
    steps = "" if result.steps is None else f"{result.steps:,} steps "
    ax.set_title(f"{steps}from {result.beginning}", color=GREY, fontsize=10, loc="left",
                 parse_math=False)  # fmt: skip
    if ax.lines:
        add_legend(ax, fontsize="small", ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.02))
    return figure


def _span(layers: Sequence[Movement]) -> tuple[float, float]:
    """Where what did not move and what began at zero stand: powers of ten around the rest."""
    shown = [m for m in layers if _is_shown(m.moved)]
    values = [v for m in shown for v in (m.moved, m.average_moved) if v and math.isfinite(v)]
    low, high = (min(values), max(values)) if values else (1e-3, 1e-1)
    return 10.0 ** (math.floor(math.log10(low)) - 0.5), 10.0 ** math.ceil(math.log10(high) + 0.05)


def _is_shown(moved: float | None) -> bool:
    """Whether it has a place on a logarithmic axis."""
    return moved is not None and moved > 0 and math.isfinite(moved)


def _draw_moved(ax: Axes, layers: Sequence[Movement]) -> None:
    for is_frozen, color, label in ((False, _BLUE, "moved"), (True, _RED, "frozen, and moved")):
        places = [i for i, m in enumerate(layers)
                  if _is_shown(m.moved) and (m.state == FROZEN) is is_frozen]  # fmt: skip
        if places:
            values = [layers[i].moved or 0.0 for i in places]
            ax.plot(places, values, "o", markersize=4, color=color, label=label)
    # The average of what is frozen differs by rounding alone, which would stretch the axis.
    places = [i for i, m in enumerate(layers) if _is_shown(m.average_moved) and m.state != FROZEN]
    if places:
        values = [layers[i].average_moved or 0.0 for i in places]
        ax.plot(places, values, "o", markersize=5, markerfacecolor="none", markeredgecolor=GREY,
                markeredgewidth=0.8, label="its average")  # fmt: skip


def _draw_edges(ax: Axes, layers: Sequence[Movement], floor: float, ceiling: float) -> None:
    """What has no relative change, or none at all."""
    frozen = [m.state == FROZEN for m in layers]
    still = [m.moved == 0.0 for m in layers]
    from_zero = [m.moved is not None and math.isinf(m.moved) for m in layers]
    for label, chosen, marker, color, height in (
        ("frozen, not moved", np.logical_and(still, frozen), "x", GREY, floor),
        ("trainable, not moved", np.greater(still, frozen), "x", _RED, floor),
        ("began at zero", np.array(from_zero, bool), "^", GREY, ceiling),
    ):
        places = np.flatnonzero(chosen)
        if places.size:
            ax.plot(places, np.full(places.size, height), marker, markersize=5, color=color,
                    label=label, clip_on=False)  # fmt: skip


def _name_parts(ax: Axes, layers: Sequence[Movement]) -> None:
    """The parts below the axis, and a line where one begins."""
    parts = [layer.part for layer in layers]
    names = list(dict.fromkeys(parts))
    for name in names[1:]:
        ax.axvline(parts.index(name) - 0.5, color=GREY, linewidth=0.6, alpha=0.5)
    middles = [float(np.mean([i for i, part in enumerate(parts) if part == n])) for n in names]
    ax.set_xticks(middles, names, rotation=35, ha="right", rotation_mode="anchor")
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-1, max(len(layers), 1))
