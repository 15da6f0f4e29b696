"""The picture of how far each layer has moved."""

import math

import numpy as np
from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.movement.change import FROZEN, TRAINABLE, TensorChange, by_layer, by_part
from rtdetr_nb.diagnostics.movement.result import WhatMoved
from rtdetr_nb.ui.figures.base import to_png


def result(*changes: TensorChange) -> WhatMoved:
    return WhatMoved(
        "run", "last.pth", "$\\frac$.pth", 4, 4, by_layer(changes), by_part(changes), ()
    )


def tensor(name: str, difference: float, role: str = TRAINABLE, start: float = 1.0) -> TensorChange:
    return TensorChange(name, role, "random", difference == 0.0, difference, start,
                        difference / 4, 1.0, math.nan)  # fmt: skip


SOUND = (
    tensor("backbone.stem.stem1.conv.weight", 0.0, FROZEN),
    tensor("backbone.stages.0.blocks.0.layers.0.conv.weight", 1e-6),
    tensor("encoder.lateral_convs.0.conv.weight", 1e-4),
    tensor("decoder.query_pos_head.layers.0.bias", 1e-4, start=0.0),
)


def labels(figure: Figure) -> dict[str, list[float]]:
    """Legend entry -> heights of its marks."""
    (axes,) = figure.axes
    return {str(line.get_label()): np.asarray(line.get_ydata(), float).tolist()
            for line in axes.lines if not str(line.get_label()).startswith("_")}  # fmt: skip


def test_marks_are_as_high_as_the_layers_moved() -> None:
    found = labels(result(*SOUND).figure())
    np.testing.assert_allclose(found["moved"], [1e-3, 1e-2])
    np.testing.assert_allclose(found["its average"], [5e-4, 5e-3])
    assert len(found["frozen, not moved"]) == len(found["began at zero"]) == 1
    assert set(found) == {"moved", "its average", "frozen, not moved", "began at zero"}


def test_faults_have_marks_of_their_own() -> None:
    still = tensor("encoder.lateral_convs.1.conv.weight", 0.0)
    changed = tensor("backbone.stem.stem3.conv.weight", 1e-6, FROZEN)
    found = labels(result(*SOUND, still, changed).figure())
    assert {"trainable, not moved", "frozen, and moved"} <= set(found)


def test_nothing_that_moved_is_drawn_too() -> None:
    figure = result(SOUND[0]).figure()
    assert to_png(figure).startswith(b"\x89PNG") and set(labels(figure)) == {"frozen, not moved"}
    assert to_png(result().figure()).startswith(b"\x89PNG")


def test_parts_are_named_below_the_axis() -> None:
    (axes,) = result(*SOUND).figure().axes
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert names == ["stem", "stages.0", "encoder", "decoder"]
