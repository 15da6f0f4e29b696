"""What a checkpoint detects in single pictures, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rtdetr_nb.config import Config
from rtdetr_nb.model.build import build_model, build_postprocessor
from rtdetr_nb.training.state import load_evaluated_weights


@dataclass(frozen=True)
class PicturePrediction:
    """A picture as the model sees it, with what is in it and what was detected.

    Attributes:
        image: (H, W, 3) uint8, resized as configured.
        true_boxes_xyxy: (N, 4) in pixels of `image`.
        true_names: N class names.
        boxes_xyxy: (M, 4) of the detections, best first.
        names: M class names.
        scores: M scores in 0..1.
    """

    image: np.ndarray
    true_boxes_xyxy: np.ndarray
    true_names: tuple[str, ...]
    boxes_xyxy: np.ndarray
    names: tuple[str, ...]
    scores: tuple[float, ...]

    def best(self, count: int) -> "PicturePrediction":
        """The same with the best detections only."""
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[:count],
            names=self.names[:count],
            scores=self.scores[:count],
        )


@torch.no_grad()
def predict_pictures(
    config: Config, checkpoint: Path, dataset: Any, indices: Sequence[int]
) -> list[PicturePrediction]:
    """Detect objects in some pictures of a validation set, with the weights of a run.

    Args:
        config: of the run.
        checkpoint: its `last.pth` or `best.pth`; the averaged weights are used.
        dataset: a `CocoDetection` with the validation transforms.
        indices: which of its pictures.

    Raises:
        RunError: the checkpoint cannot be read or is of another model.
    """
    model = build_model(config).eval()
    load_evaluated_weights(model, checkpoint)
    # Labels, not category ids: their names are looked up here.
    postprocessor = build_postprocessor(config.override(["remap_mscoco_category=False"]))
    names = dataset.label_names
    pictures = []
    for index in indices:
        image, target = dataset[index]
        height, width = image.shape[-2:]
        result = postprocessor(model(image[None]), torch.tensor([[width, height]]))[0]
        pictures.append(_picture(image, target, result, names))
    return pictures


def _picture(
    image: Tensor, target: dict[str, Tensor], result: dict[str, Tensor], names: dict[int, str]
) -> PicturePrediction:
    return PicturePrediction(
        image=(image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(),
        true_boxes_xyxy=np.asarray(target["boxes"]),
        true_names=tuple(names[int(label)] for label in target["labels"]),
        boxes_xyxy=result["boxes"].numpy(),
        names=tuple(names.get(int(label), f"label {int(label)}") for label in result["labels"]),
        scores=tuple(result["scores"].tolist()),
    )
