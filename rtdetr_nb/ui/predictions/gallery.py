"""The predictions of a run that goes on, step by step, from its records alone."""

from collections.abc import Sequence

import ipywidgets
from matplotlib.figure import Figure

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.progress import RunProgress
from rtdetr_nb.runs.records import PredictionsRecord
from rtdetr_nb.text.html_pieces import picture_html
from rtdetr_nb.ui.figures.base import COLORS, png_uri, to_png
from rtdetr_nb.ui.figures.predictions import predictions_figure
from rtdetr_nb.ui.predictions.chosen_records import (
    NO_PREDICTIONS,
    chosen_records,
    of_the_same_pictures,
)
from rtdetr_nb.ui.widget_tree import close_widgets

_NOTHING_YET = "No predictions yet."


class Gallery:
    """Validation pictures with their true boxes and what the run detected at several steps.

    A run that was resumed with other data has predictions on other pictures too: only those on the
    pictures that it predicted last are shown.

    Args:
        progress: of a run that records predictions, as of its last `update`.
        steps: to show; empty is the first, the last and some between.

    Attributes:
        widget: the picture for a page, as of the last `draw`.
    """

    def __init__(self, progress: RunProgress, steps: Sequence[int] = ()) -> None:
        self._progress = progress
        self._wanted = sorted(steps)
        self._drawn: list[PredictionsRecord] = []
        self._png = b""
        # Hidden as long as it is empty: browsers show an empty picture as a broken one.
        self._image = ipywidgets.Image(
            format="png", layout={"max_width": "100%", "display": "none"}
        )
        self._note = ipywidgets.HTML(_NOTHING_YET)
        self.widget = ipywidgets.VBox([self._note, self._image])
        self.draw()

    @property
    def records(self) -> list[PredictionsRecord]:
        """The predictions on the pictures that were predicted last; see `of_the_same_pictures`."""
        return of_the_same_pictures(self._progress.predictions)

    @property
    def steps(self) -> list[int]:
        """The steps that are shown."""
        return [record["step"] for record in self._shown()]

    @property
    def figure(self) -> Figure:
        """The pictures once with the true boxes and once for each step.

        Raises:
            RunError: there are no predictions.
        """
        shown = self._shown()
        if not shown:
            raise RunError(NO_PREDICTIONS.format(self._progress.run.folder))
        rows = {f"step {record['step']}": record for record in shown}
        return predictions_figure(rows, [COLORS[0]] * len(rows))

    def update(self) -> bool:
        """Read what the run has recorded since, and draw if there are new predictions."""
        self._progress.update()
        return self.draw()

    def draw(self) -> bool:
        """Draw if there are new predictions; return whether there were."""
        shown = self._shown()
        if not shown or shown == self._drawn:
            return False
        self._drawn = shown
        self._png = to_png(self.figure, dpi=90)
        self._image.value = self._png
        self._image.layout.display = ""
        self._note.value = f"<b>Predictions</b> at {self._words()}"
        return True

    def close(self) -> None:
        """Take the widget from the page."""
        close_widgets(self.widget)

    def _shown(self) -> list[PredictionsRecord]:
        return chosen_records(self.records, self._wanted)

    def _words(self) -> str:
        steps = ", ".join(map(str, self.steps))
        return f"step{'s' if len(self.steps) > 1 else ''} {steps}"

    @property
    def png(self) -> bytes:
        """The picture as of the last `draw`; empty before there were predictions."""
        return self._png

    def static_html(self) -> str:
        """The picture for a page that has no kernel."""
        if not self._png:
            return f"<p>{_NOTHING_YET}</p>"
        words = f"True boxes, and predictions at {self._words()}"
        return picture_html(words, png_uri(self._png))

    def __repr__(self) -> str:
        if not self.steps:
            return f"Gallery({_NOTHING_YET})"
        return f"Gallery({self._progress.run.folder}: predictions at {self._words()})"
