"""The pictures of a detector on frozen features."""

import numpy as np
import pytest
import torch

from rtdetr_nb.diagnostics.detection.pictures import Detections
from rtdetr_nb.diagnostics.detection.result import (
    ClassFigure,
    DetectionProbe,
    DetectionRecord,
    DetectionScore,
    ShownPicture,
)
from rtdetr_nb.ui.figures.base import to_png

FORMULA = "star $\\frac$"


def score(ap: float, classes: int = 2) -> DetectionScore:
    rows = [ClassFigure(FORMULA, 5, 9, ap), ClassFigure("ring", 5, 3, None)]
    rows += [ClassFigure(f"class {i}", 1, 1, ap) for i in range(classes - 2)]
    records = tuple(DetectionRecord("w", step, 20, 1.0, ap * step / 20, ap) for step in (10, 20))
    found = (Detections(torch.ones(1, 4), torch.ones(1), torch.ones(1)),)
    return DetectionScore(ap, ap, (ap + 0.01, ap + 0.1), tuple(rows), records, (0.9,), found,
                          np.ones(3), (1.0, 1.0))  # fmt: skip


def result(loaded: DetectionScore | None, random: DetectionScore | None) -> DetectionProbe:
    kinds = {"true": True, "loaded": loaded, "random": random}
    given = [kind for kind, there in kinds.items() if there]
    picture = ShownPicture(
        np.zeros((16, 16, 3), np.uint8),
        {kind: np.array([[2.0, 2, 9, 9]]) for kind in given},
        {kind: [FORMULA] for kind in given},
        {kind: [0.5] if kind != "true" else [] for kind in given},
    )
    return DetectionProbe("w", loaded, random, None, (4, 2), (9, 12), 20, 64, (picture, picture))


@pytest.mark.parametrize(
    ("loaded", "random"), [(score(0.4), score(0.1)), (None, score(0.1)), (score(0.4), None)]
)
def test_each_kind_of_weights_has_a_line_bars_and_boxes(
    loaded: DetectionScore | None, random: DetectionScore | None
) -> None:
    probe = result(loaded, random)
    figure = probe.figure()
    over_steps, by_class = figure.axes
    given = {"loaded": loaded, "random": random}
    expected = [f"{kind}: {own.ap:.3f}" for kind, own in given.items() if own]
    lines = [line for line in over_steps.lines if not str(line.get_label()).startswith("_")]
    assert [line.get_label() for line in lines] == expected
    assert [line.get_ydata()[-1] for line in lines] == [own.ap for own in given.values() if own]
    assert [bar.get_height() for bar in by_class.patches[:2]] == [probe.ap, 0.0]
    boxes = probe.boxes_figure()
    assert len(boxes.axes) == 2 * (1 + len(expected))
    for drawn in (figure, boxes):
        assert to_png(drawn).startswith(b"\x89PNG")


def test_of_many_classes_those_with_most_boxes_are_shown() -> None:
    _, by_class = result(score(0.4, classes=80), None).figure().axes
    assert len(by_class.patches) == 20 and by_class.get_title() == (
        "the 20 of 80 classes with most boxes"
    )
    assert by_class.get_xticklabels()[0].get_text() == FORMULA
