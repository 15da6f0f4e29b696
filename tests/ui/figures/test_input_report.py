"""The figure of an input report: with everything in it, and with nothing."""

import torch

from rtdetr_nb.checkpoint.tuning.input_format import FORMATS
from rtdetr_nb.diagnostics.input_format.first_norm import Hypothesis, judge_formats
from rtdetr_nb.diagnostics.input_format.input_report import InputReport
from rtdetr_nb.diagnostics.input_format.norm_fit import NormFit
from rtdetr_nb.ui.figures.base import to_png


def hypotheses():
    return [
        Hypothesis(wanted, 0.1 * 4**place, 0.2 * 4**place, torch.zeros(1))
        for place, wanted in enumerate(FORMATS.values())
    ]


def fits(*broken: int) -> tuple[NormFit, ...]:
    names = [f"stem.stem{i}" for i in (1, 2, 3)] + [f"stages.0.blocks.0.layers.{i}" for i in "0123"]
    return tuple(
        NormFit(name, 8, 3.0 if place in broken else 0.01, 0.1, 0.2, 0, 0.1, cause="$x^$ odd")
        for place, name in enumerate(names)
    )


def test_bars_for_the_hypotheses_and_lines_for_the_norms():
    judged = judge_formats(hypotheses())
    report = InputReport("a_$b$.pth", judged.found, (), (), judged, fits(4), 6)
    figure = report.figure()
    upper, lower = figure.axes
    assert len(upper.patches) == len(FORMATS)
    assert [t.get_text() for t in lower.get_xticklabels()] == ["stem", "stages.0"]
    assert "stages.0.blocks.0.layers.1" in lower.get_title(loc="left")
    assert to_png(figure).startswith(b"\x89PNG")
    sound = InputReport("a.pth", judged.found, (), (), judged, fits(), 6).figure()
    assert sound.axes[1].get_title(loc="left") == "" and len(sound.axes[1].patches) == 0


def test_what_is_not_known_is_said_in_the_figure():
    figure = InputReport("a.pth", None, ()).figure()
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert any("first norm says nothing" in w for w in words)
    assert any("no norms" in w for w in words)
    assert to_png(figure).startswith(b"\x89PNG")
