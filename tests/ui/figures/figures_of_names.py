"""Each kind of figure with a name of the test's choice in it."""

import numpy as np
import pandas
from matplotlib.figure import Figure

from rtdetr_nb.ui.figures.base import Boxes, accuracy_figure, loss_figure, pictures_figure
from rtdetr_nb.ui.figures.precision_recall import precision_recall_figure
from rtdetr_nb.ui.figures.run import RunFigure


def figures_with(name: str) -> dict[str, Figure]:
    """Each kind of figure, with that name wherever a file, a run or a class is named."""
    history = pandas.DataFrame({"loss": [2.0, 1.0]}, index=[1, 2])
    curves = {"recall": [0.0, 1.0], "by_iou": {"0.50": [1.0, 0.0]}, "by_class": {name: [1.0, 0.0]}}
    boxes = [Boxes(np.array([[1, 1, 5, 5]]), [name], [0.5])]
    return {
        "loss": loss_figure({name: history}),
        "accuracy": accuracy_figure({name: 0.5}, {name: [0.1, 0.2]}, chance=0.1),
        "pictures": pictures_figure([np.zeros((8, 8, 3), np.uint8)], {name: boxes}),
        "curves": precision_recall_figure({"precision_recall": curves}),
        "run": RunFigure([name, "other"], ["loss_vfl"]).figure,
    }
