"""A configuration for short runs, scaled to the data, the picture size and the length."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import DatasetError

# Shares of a run: long enough to settle, short enough to leave the run itself.
_WARMUP_SHARE = 1 / 6
_SMALLEST_MULTIPLE = 32  # the coarsest map has stride 32


def quick_run_config(
    data: str | os.PathLike[str] = "data/shapes",
    *,
    steps: int = 60,
    image_size: int = 256,
    batch_size: int = 4,
    backbone_of: Config | str | os.PathLike[str] = "rtdetrv2_hgnetv2_l",
    overrides: Sequence[str] = (),
) -> Config:
    """The preset `quick_run`, scaled.

    Warm-up and the averaging of weights get a sixth of the steps. Full training has 2,000 steps of
    warm-up: 60 steps of that run at most at 3 % of the learning rate.

    Args:
        data: a folder with `images/{train,val}` and COCO-format `annotations/{train,val}.json`.
        steps: optimizer updates that the run will have; give them as `max_steps` too.
        image_size: height and width that pictures are resized to, a multiple of 32.
        batch_size: pictures of a step.
        backbone_of: configuration of the training proper, or its name or path; the short run has
            its backbone (`HGNetv2.name` and `use_lab`), so that the same tuning file fits both.
        overrides: `section.key=value` assignments on top.

    Raises:
        DatasetError: the folder has not that layout, or its categories cannot be read.
        ConfigError: there is no such configuration, or an override cannot be applied.
    """
    folder = Path(data)
    trained = backbone_of if isinstance(backbone_of, Config) else load_config(backbone_of)
    size = _SMALLEST_MULTIPLE * max(1, round(image_size / _SMALLEST_MULTIPLE))
    warmup = max(1, round(steps * _WARMUP_SHARE))
    settings: dict[str, Any] = {
        "HGNetv2.name": trained.backbone.name,
        "HGNetv2.use_lab": trained.backbone.use_lab,
        "num_classes": count_labels(folder / "annotations" / "train.json"),
        "eval_spatial_size": [size, size],
        "lr_warmup_scheduler.warmup_duration": warmup,
        "ema.warmups": warmup,
        "train_dataloader.total_batch_size": batch_size,
        # Two positions of the operations in the preset; a test holds them to `Resize`.
        "train_dataloader.dataset.transforms.ops.1.size": [size, size],
        "val_dataloader.dataset.transforms.ops.0.size": [size, size],
    }
    for split in ("train", "val"):
        settings[f"{split}_dataloader.dataset.img_folder"] = str(folder / "images" / split)
        annotations = folder / "annotations" / f"{split}.json"
        settings[f"{split}_dataloader.dataset.ann_file"] = str(annotations)
    config = load_config("quick_run").with_values(settings)
    return config.override(overrides) if overrides else config


def count_labels(annotations: Path) -> int:
    """Size of a class head for COCO-format annotations whose category ids are the labels.

    Raises:
        DatasetError: the file cannot be read, or names no categories.
    """
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        return 1 + max(int(category["id"]) for category in content["categories"])
    except OSError as error:
        raise DatasetError(
            f"There are no annotations {annotations} ({error.strerror}). Expected a folder with "
            "images/train, images/val, annotations/train.json and annotations/val.json."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{annotations} is no COCO-format file: expected a JSON object with `categories`, each "
            f"with an `id`. ({type(error).__name__}: {error})"
        ) from error
