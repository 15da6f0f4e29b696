"""The picture of recorded predictions: true boxes, and below them what was detected."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from rtdetr_nb.runs.records import PredictedPicture, PredictionsRecord
from rtdetr_nb.ui.figures.base import COLORS, Boxes, pictures_figure

_LONGEST_SIDE = 300  # pixels of a picture that is drawn


def predictions_figure(records: Mapping[str, PredictionsRecord], colors: Sequence[str]) -> Figure:
    """The pictures once with the true boxes and once for each record.

    The highest-scoring detections of each picture are drawn, as many as it has objects.

    Args:
        records: label -> record of predictions, all of the same pictures; at least one.
        colors: of the boxes, one for each record.
    """
    images, rows = predicted_rows(records)
    return pictures_figure(images, rows, [COLORS[2], *colors])


def predicted_rows(
    records: Mapping[str, PredictionsRecord],
) -> tuple[Sequence[np.ndarray], dict[str, list[Boxes]]]:
    """Pictures, and the boxes of each row: the true ones, and those of each record."""
    first = next(iter(records.values()))["pictures"]
    images, scales = zip(*(_read_picture(picture) for picture in first), strict=True)
    rows = {"ground truth": [_truth(p, s) for p, s in zip(first, scales, strict=True)]}
    for label, record in records.items():
        pictures = zip(record["pictures"], scales, strict=True)
        rows[label] = [_detections(picture, scale) for picture, scale in pictures]
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


def _detections(picture: PredictedPicture, scale: float) -> Boxes:
    count = len(picture["true_boxes"])
    boxes = np.asarray(picture["boxes"], dtype=float).reshape(-1, 4)[:count]
    return Boxes(boxes * scale, picture["labels"][:count], picture["scores"][:count])
