import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rtdetr_nb.ui.figures.base import (
    accuracy_figure,
    new_figure,
    smooth,
    to_data_uri,
    to_png,
)
from tests.ui.figures.figures_of_names import figures_with

FORMULA = r"$\frac$ and $x^$"  # of which matplotlib's reader of formulas makes an error


def test_a_mean_is_over_steps_whether_or_not_each_has_told_its_loss():
    values = np.array([8.0, 4.0, 2.0, 6.0, 1.0])
    every = np.arange(1, 6)
    assert smooth(every, values, 2).tolist() == [8.0, 6.0, 3.0, 4.0, 3.5]
    assert smooth(every * 100, values, 9).tolist() == values.tolist()
    assert smooth(np.array([1, 2, 8, 9, 20]), values, 3).tolist() == [8.0, 6.0, 2.0, 4.0, 1.0]
    assert smooth(np.array([]), np.array([]), 9).tolist() == []


def test_seeds_that_agree_have_no_whiskers():
    """The mean of three equal values is larger than each of them, by rounding."""
    figure = accuracy_figure({"all": 0.8}, {"all": [0.1, 0.1, 0.1]}, chance=0.1)
    assert sum([0.1, 0.1, 0.1]) / 3 > 0.1
    heights = [patch.get_height() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert heights[0] == 0.8


def test_a_notebook_shows_a_figure_as_a_picture():
    figure, _ = new_figure(2, 1)
    png = figure._repr_png_()  # type: ignore[attr-defined]
    assert png.startswith(b"\x89PNG")
    assert isinstance(figure.canvas, FigureCanvasAgg)
    assert to_data_uri(figure).startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize("kind", ["loss", "accuracy", "pictures", "curves", "run"])
def test_names_are_no_formulas(kind):
    figure = figures_with(FORMULA)[kind]
    assert to_png(figure).startswith(b"\x89PNG")
    # Formulas draw nothing of their dollar signs.
    assert to_png(figure) != to_png(figures_with(FORMULA.replace("$", ""))[kind])


@pytest.mark.parametrize("kind", ["loss", "curves", "run"])
def test_a_name_may_begin_as_names_that_matplotlib_hides(kind):
    figure = figures_with("_hidden")[kind]
    legends = [axes.get_legend() for axes in figure.axes]
    words = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    assert sum("_hidden" in word for word in words) == 1
    assert not any("child" in word or "container" in word or "nolegend" in word for word in words)
