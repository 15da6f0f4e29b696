"""The picture of recorded predictions: true boxes, and below them what was detected."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from rtdetr_nb.runs.records import PredictedPicture, PredictionsRecord
from rtdetr_nb.ui.figures.base import COLORS, Boxes, pictures_figure

TRUTH, TRUTH_COLOR = "ground truth", COLORS[2]
_LONGEST_SIDE = 300  # pixels of a picture that is drawn


def predictions_figure(
    records: Mapping[str, PredictionsRecord],
    colors: Sequence[str],
    least_score: float | None = None,
) -> Figure:
    """The pictures once with the true boxes, if they have some, and once for each record.

    Args:
        records: label -> record of predictions, all of the same pictures; at least one.
        colors: of the boxes, one for each record.
        least_score: of the detections that are drawn; None draws the best ones, as many as the
            picture has objects.
    """
    images, rows = predicted_rows(records, least_score)
    own = [TRUTH_COLOR] if TRUTH in rows else []
    return pictures_figure(images, rows, [*own, *colors])


def predicted_rows(
    records: Mapping[str, PredictionsRecord], least_score: float | None = None
) -> tuple[Sequence[np.ndarray], dict[str, list[Boxes]]]:
    """Pictures, and the boxes of each row: the true ones, and those of each record."""
    first = next(iter(records.values()))["pictures"]
    images, scales = zip(*(_read_picture(picture) for picture in first), strict=True)
    rows: dict[str, list[Boxes]] = {}
    if any(picture["true_boxes"] for picture in first):
        rows[TRUTH] = [_truth(p, s) for p, s in zip(first, scales, strict=True)]
    for label, record in records.items():
        pictures = zip(record["pictures"], scales, strict=True)
        rows[label] = [_detections(picture, scale, least_score) for picture, scale in pictures]
    return images, rows


def _read_picture(picture: PredictedPicture) -> tuple[np.ndarray, float]:
    """(H, W, 3) uint8, and by how much it was made smaller; grey where the file is gone."""
    width, height = picture["size"]
    scale = min(1.0, _LONGEST_SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    try:
        with Image.open(Path(picture["file"])) as image:
            return np.asarray(image.convert("RGB").resize(size)), scale
    except (OSError, UnidentifiedImageError):
        return np.full((size[1], size[0], 3), 200, dtype=np.uint8), scale


def _truth(picture: PredictedPicture, scale: float) -> Boxes:
    boxes = np.asarray(picture["true_boxes"], dtype=float).reshape(-1, 4)
    return Boxes(boxes * scale, picture["true_labels"])


def _detections(picture: PredictedPicture, scale: float, least_score: float | None) -> Boxes:
    count = len(picture["true_boxes"])
    if least_score is not None:
        count = sum(score >= least_score for score in picture["scores"])  # best first
    boxes = np.asarray(picture["boxes"], dtype=float).reshape(-1, 4)[:count]
    return Boxes(boxes * scale, picture["labels"][:count], picture["scores"][:count])
