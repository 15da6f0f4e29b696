"""What a run detects on pictures that are in no data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.batches.coco import make_target
from rtdetr_nb.datasets.batches.transforms import build_transforms
from rtdetr_nb.datasets.configured import configured_split
from rtdetr_nb.datasets.pictures.picture_file import decode
from rtdetr_nb.datasets.split import PictureBoxes
from rtdetr_nb.diagnostics.measuring.pictures import Pictures, picture_paths
from rtdetr_nb.errors import RunError
from rtdetr_nb.model.build import build_model, build_postprocessor
from rtdetr_nb.runs.file_names import CONFIG_FILE
from rtdetr_nb.runs.records import PredictedPicture, PredictionsRecord, events
from rtdetr_nb.runs.run import Run
from rtdetr_nb.training.preview import class_names
from rtdetr_nb.training.state import load_evaluated_weights

MOST_PICTURES = 24
_DETECTIONS = 100  # of a picture, best first
_NO_BOXES = PictureBoxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), np.zeros(0, bool))


def predict_files(run: Run, files: Pictures) -> PredictionsRecord:
    """What the last checkpoint of a run detects on pictures, as a record of predictions.

    Args:
        run: whose last checkpoint is read; its averaged weights, where it has some.
        files: picture files or a folder; of more than `MOST_PICTURES`, some that are spread evenly.

    Raises:
        RunError: the run has no checkpoint or no configuration.
        UserError: its checkpoint, or a picture, cannot be used.
    """
    source = run.folder / CONFIG_FILE
    for needed in (source, run.checkpoint):
        if not needed.is_file():
            raise RunError(
                f"{run.folder} has no {needed.name}, so there is no model to look at your pictures "
                "with. Give a run that has saved a checkpoint."
            )
    config = load_config(source)
    model = build_model(config.override(["HGNetv2.pretrained=False"]))
    load_evaluated_weights(model, run.checkpoint, config.use_ema)
    saved = events(run.records, "checkpoint")
    detector = _Detector(config, model)
    pictures = [detector.look(path) for path in picture_paths(files, MOST_PICTURES)]
    return {"event": "predictions", "step": saved[-1]["step"] if saved else 0, "pictures": pictures}


class _Detector:
    """A model with what stands before and behind it, for single picture files on the CPU."""

    def __init__(self, config: Config, model: nn.Module) -> None:
        transforms = config.val_dataloader.dataset.transforms
        self._model = model.eval()
        self._transforms = build_transforms(transforms.ops, transforms.policy)
        self._names = configured_split(config, "val").classes
        self._postprocessor = build_postprocessor(config.override(["remap_mscoco_category=False"]))

    @torch.no_grad()
    def look(self, path: Path) -> PredictedPicture:
        """Detect on one picture; boxes are in its pixels."""
        picture = decode(path, path.parent)
        image, target = self._transforms(picture, make_target(_NO_BOXES, picture.size), 0)
        found = self._postprocessor(self._model(image[None]), target["orig_size"][None])[0]
        return {
            "image_id": 0,
            "file": str(path.resolve()),
            "size": list(picture.size),
            "true_boxes": [],
            "true_labels": [],
            "boxes": found["boxes"][:_DETECTIONS].tolist(),
            "labels": class_names(found["labels"][:_DETECTIONS], self._names),
            "scores": found["scores"][:_DETECTIONS].tolist(),
        }
