"""Predictions on a few validation pictures during a run, as records.

A record names the pictures and holds their true boxes and the detections by class name: drawing it
needs neither the model nor the data set. Nothing here uses a random generator, so previews do not
change the training.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.model.build import build_postprocessor
from rtdetr_nb.runs.records import PredictedPicture, PredictionsRecord
from rtdetr_nb.training.precision import Precision

_PICTURES = 4
_DETECTIONS = 20  # of a picture, best first


class Preview:
    """Looks at the same pictures every `preview_freq` steps.

    Args:
        config: of the run.
        dataset: the validation pictures with their transforms.
        device: where the model is.
        precision: as in training.
    """

    def __init__(
        self, config: Config, dataset: DetectionDataset, device: torch.device, precision: Precision
    ) -> None:
        self._every = config.preview_freq
        self._dataset = dataset
        self._device = device
        self._precision = precision
        self._indices = choose_pictures(dataset.split) if self._every else []
        # Labels, not category ids: their names are looked up here.
        self._postprocessor = build_postprocessor(config.override(["remap_mscoco_category=False"]))

    def records(self, step: int, model: nn.Module) -> Iterator[PredictionsRecord]:
        """One record if predictions are due at this step, else none."""
        if self._every and step % self._every == 0:
            yield self.record(step, model)

    @torch.no_grad()
    def record(self, step: int, model: nn.Module) -> PredictionsRecord:
        """What `model` detects now; it is left in the mode in which it was.

        Boxes are in pixels of the file's picture.
        """
        was_training = model.training
        model.eval()
        try:
            pictures = [self._picture(model, index) for index in self._indices]
        finally:
            model.train(was_training)
        return {"event": "predictions", "step": step, "pictures": pictures}

    def _picture(self, model: nn.Module, index: int) -> PredictedPicture:
        dataset, names = self._dataset, self._dataset.label_names
        _, truth = dataset.load(index)
        image, target = dataset[index]
        with self._precision.autocast():
            outputs = model(image[None].to(self._device))
        outputs = {name: value.float() for name, value in outputs.items()}
        size = target["orig_size"].to(self._device)
        result = self._postprocessor(outputs, size[None])[0]
        file = dataset.split.image_path(index)
        return {
            "image_id": int(target["image_id"]),
            "file": str(file.resolve()),
            "size": target["orig_size"].tolist(),
            "true_boxes": _rounded(truth["boxes"]),
            "true_labels": class_names(truth["labels"], names),
            "boxes": _rounded(result["boxes"][:_DETECTIONS]),
            "labels": class_names(result["labels"][:_DETECTIONS], names),
            "scores": [round(score, 4) for score in result["scores"][:_DETECTIONS].tolist()],
        }


def choose_pictures(split: Split, count: int = _PICTURES) -> list[int]:
    """Indices of the first pictures with several objects, or else with one."""
    columns = split.pictures.boxes
    boxes = np.bincount(columns.images[~columns.crowds], minlength=len(split))
    several, single = np.flatnonzero(boxes > 1)[:count], np.flatnonzero(boxes == 1)
    return sorted([*several.tolist(), *single.tolist()][:count])


def _rounded(boxes: Tensor) -> list[list[float]]:
    return [[round(value, 1) for value in box] for box in boxes.tolist()]


def class_names(labels: Tensor, names: dict[int, str]) -> list[str]:
    """The name of each label (N,); one that has none is called by its number."""
    return [names.get(label, f"label {label}") for label in labels.tolist()]
