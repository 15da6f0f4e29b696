from matplotlib.backends.backend_agg import FigureCanvasAgg

from rtdetr_nb.ui.figures import accuracy_figure, new_figure, to_data_uri


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
