"""Predictions beside each other: the true boxes, and what each run or step detected."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from rtdetr_nb.datasets.pictures.picture_file import read_picture
from rtdetr_nb.diagnostics.measuring.pictures import Pictures
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.progress import RunProgress
from rtdetr_nb.runs.records import PredictedPicture, PredictionsRecord
from rtdetr_nb.runs.run import Run
from rtdetr_nb.text.html_pieces import picture_html
from rtdetr_nb.ui.figures.base import COLORS, to_data_uri
from rtdetr_nb.ui.figures.predictions import TRUTH, TRUTH_COLOR, predictions_figure
from rtdetr_nb.ui.figures.run import run_colors
from rtdetr_nb.ui.live_plot import check_labels
from rtdetr_nb.ui.predictions.chosen_records import (
    NO_PREDICTIONS,
    chosen_records,
    of_the_same_pictures,
)
from rtdetr_nb.ui.static_twin import StaticTwin

_FOLDER = Path(__file__).parent
_LONGEST_SIDE = 800  # pixels of a picture on the page
_OWN_LEAST_SCORE = 0.3  # of pictures without true boxes, whose number of objects is not known


def show_predictions(
    run: Run | Sequence[Run],
    steps: Sequence[int] = (),
    *,
    files: Pictures | None = None,
    labels: Sequence[str] = (),
    least_score: float | None = None,
) -> PredictionViewer:
    """Pictures with their true boxes and what was detected, beside each other.

    One run is shown at several steps, several runs at their last predictions. On the page a click
    enlarges a picture, and a slider sets the least score.

    Args:
        run: that records predictions (`preview_freq` in its configuration is not 0), or several.
        steps: of one run's predictions; by default the first, the last and some between.
        files: pictures of your own, or a folder of them, on which each run's last checkpoint looks
            now; None shows the validation pictures that the run recorded.
        labels: what to call the runs; by default their folders' names.
        least_score: of the detections that are drawn, 0 to 1; None draws the best ones, as many as
            the picture has objects, and on `files` those of 0.3 and more.

    Raises:
        RunError: there are no predictions at such a step, the runs looked at different pictures, or
            there is no checkpoint for `files`.
        UserError: a checkpoint or a picture cannot be used.
    """
    runs = [run] if isinstance(run, Run) else list(run)
    check_labels(labels, len(runs))
    names = _told_apart(list(labels) or [each.folder.name for each in runs])
    if files is not None:
        from rtdetr_nb.ui.predictions.own_pictures import predict_files

        looked = [predict_files(each, files) for each in runs]
        records = dict(zip(names, looked, strict=True))
        least = _OWN_LEAST_SCORE if least_score is None else least_score
        return PredictionViewer(records, run_colors(len(runs)), least)
    if len(runs) == 1:
        found = _of_steps(runs[0], steps)
        colors = [COLORS[0]] * len(found)
        return PredictionViewer(
            {f"step {record['step']}": record for record in found}, colors, least_score
        )
    if steps:
        raise RunError("steps are of one run. Give that run alone, or leave them out.")
    return PredictionViewer(_last_of_each(runs, names), run_colors(len(runs)), least_score)


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, those that came before with their place: folders of one name are common."""
    return [f"{name} ({i + 1})" if name in names[:i] else name for i, name in enumerate(names)]


def _of_steps(run: Run, steps: Sequence[int]) -> list[PredictionsRecord]:
    progress = RunProgress(run, parts=())
    progress.update()
    records = of_the_same_pictures(progress.predictions)
    chosen = chosen_records(records, steps)
    if steps and sorted(steps) != [record["step"] for record in chosen]:
        known = ", ".join(str(record["step"]) for record in records) or "none"
        raise RunError(
            f"There are no predictions at some of the steps {list(steps)}; there are at: {known}."
        )
    return chosen


def _last_of_each(runs: Sequence[Run], names: Sequence[str]) -> dict[str, PredictionsRecord]:
    """The last predictions of each run, under its name.

    Raises:
        RunError: a run has none, or they are of different pictures.
    """
    found: dict[str, PredictionsRecord] = {}
    for run, name in zip(runs, names, strict=True):
        records = _of_steps(run, ())
        if not records:
            raise RunError(NO_PREDICTIONS.format(run.folder))
        found[name] = records[-1]
    files = [[picture["file"] for picture in record["pictures"]] for record in found.values()]
    if any(each != files[0] for each in files):
        raise RunError(
            "The runs looked at different pictures, so their detections cannot stand side by side. "
            "Show each run alone, or give pictures for all of them: files=[...]."
        )
    return found


class PredictionViewer(anywidget.AnyWidget):
    """See `show_predictions`.

    Attributes:
        records: label -> record of predictions, all of the same pictures.
        least_score: of the detections that are drawn; None draws as many as there are objects.
    """

    _esm = (_FOLDER.parent / "element.js").read_text() + (_FOLDER / "viewer.js").read_text()
    _css = _FOLDER / "viewer.css"

    pictures = traitlets.List().tag(sync=True)
    least_score = traitlets.Float(None, allow_none=True, min=0, max=1).tag(sync=True)

    def __init__(
        self,
        records: Mapping[str, PredictionsRecord],
        colors: Sequence[str],
        least_score: float | None = None,
    ) -> None:
        self.records = dict(records)
        self._colors = list(colors)
        self._twin = StaticTwin(self._as_text, self._as_html)
        super().__init__(pictures=self._for_the_page(), least_score=least_score)

    @property
    def steps(self) -> list[int]:
        """The step of each record."""
        return [record["step"] for record in self.records.values()]

    @property
    def figure(self) -> Figure:
        """The pictures once with the true boxes and once for each record.

        Raises:
            RunError: there are no predictions.
        """
        if not self.records:
            raise RunError(NO_PREDICTIONS.format("The run"))
        return predictions_figure(self.records, self._colors, self.least_score)

    @traitlets.observe("least_score")
    def _on_score(self, _change: object) -> None:
        self._twin.update()

    def _for_the_page(self) -> list[dict[str, Any]]:
        first = next(iter(self.records.values()), None)
        pictures = first["pictures"] if first else []
        return [
            {
                "name": Path(picture["file"]).name,
                "source": _as_jpeg(picture),
                "size": picture["size"],
                "kinds": [*_truth(picture), *self._kinds(place)],
            }
            for place, picture in enumerate(pictures)
        ]

    def _kinds(self, place: int) -> list[dict[str, Any]]:
        drawn = zip(self.records.items(), self._colors, strict=True)
        return [
            {
                "label": label,
                "color": color,
                "boxes": record["pictures"][place]["boxes"],
                "names": record["pictures"][place]["labels"],
                "scores": record["pictures"][place]["scores"],
            }
            for (label, record), color in drawn
        ]

    def _as_text(self) -> str:
        if not self.records:
            return "PredictionViewer(no predictions yet)"
        count = len(next(iter(self.records.values()))["pictures"])
        return f"PredictionViewer(predictions at {', '.join(self.records)}; {count} pictures)"

    def _as_html(self) -> str:
        if not self.records:
            return "<p>No predictions yet.</p>"
        words = f"True boxes, and predictions at {', '.join(self.records)}"
        return picture_html(words, to_data_uri(self.figure, dpi=90))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what a page without widgets can show."""
        return self._twin.beside(super()._repr_mimebundle_(**options))

    def _ipython_display_(self) -> None:
        self._twin.show(self._repr_mimebundle_())

    def __repr__(self) -> str:
        return self._as_text()


def _truth(picture: PredictedPicture) -> list[dict[str, Any]]:
    if not picture["true_boxes"]:
        return []
    return [
        {
            "label": TRUTH,
            "color": TRUTH_COLOR,
            "boxes": picture["true_boxes"],
            "names": picture["true_labels"],
            "scores": None,
        }
    ]


def _as_jpeg(picture: PredictedPicture) -> str:
    """The picture as the `src` of an image; empty if its file is gone."""
    width, height = picture["size"]
    try:
        image = read_picture(Path(picture["file"]), (width, height))
    except (OSError, ValueError, UnidentifiedImageError):
        return ""
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
