"""A configuration for short runs, scaled to the data, the picture size and the length."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config

if TYPE_CHECKING:
    from rtdetr_nb.datasets.source import DataSource

logger = logging.getLogger(__name__)

# Shares of a run: long enough to settle, short enough to leave the run itself.
_WARMUP_SHARE = 1 / 6
_SMALLEST_MULTIPLE = 32  # the coarsest map has stride 32


def quick_run_config(
    data: "DataSource | str | os.PathLike[str]" = "data/shapes",
    *,
    steps: int = 60,
    image_size: int = 256,
    batch_size: int = 4,
    eval_pictures: int | None = 256,
    backbone_of: Config | str | os.PathLike[str] = "rtdetrv2_hgnetv2_l",
    overrides: Sequence[str] = (),
) -> Config:
    """The preset `quick_run`, scaled.

    Warm-up and the averaging of weights get a sixth of the steps. Full training has 2,000 steps of
    warm-up: 60 steps of that run at most at 3 % of the learning rate.

    Args:
        data: a data set of any layout, or its folder; see `datasets.open_data.open_data`.
        steps: optimizer updates that the run will have; give them as `max_steps` too.
        image_size: height and width that pictures are resized to. The nearest multiple of 32 is
            taken, and told if it is another number.
        batch_size: pictures of a step.
        eval_pictures: evaluate on at most so many of the validation pictures, chosen evenly; None
            takes all. Training draws from all of its pictures.
        backbone_of: configuration of the full training, or its name or path; the short run has
            its backbone (`HGNetv2.name` and `use_lab`), so that the same tuning file fits both.
        overrides: `section.key=value` assignments on top.

    Raises:
        DatasetError: the data set cannot be opened, or no run can use it.
        ConfigError: there is no such configuration, or an override cannot be applied.
    """
    from rtdetr_nb.datasets.open_data import open_data

    source = open_data(data)
    source.check_usable()
    trained = backbone_of if isinstance(backbone_of, Config) else load_config(backbone_of)
    size = _SMALLEST_MULTIPLE * max(1, round(image_size / _SMALLEST_MULTIPLE))
    if size != image_size:
        logger.warning(
            "image_size is %s; pictures have %d pixels, the nearest multiple of %d.",
            image_size, size, _SMALLEST_MULTIPLE,
        )  # fmt: skip
    warmup = max(1, round(steps * _WARMUP_SHARE))
    settings: dict[str, Any] = {
        "HGNetv2.name": trained.backbone.name,
        "HGNetv2.use_lab": trained.backbone.use_lab,
        **source.settings,
        "eval_pictures": eval_pictures,
        "eval_spatial_size": [size, size],
        "lr_warmup_scheduler.warmup_duration": warmup,
        "ema.warmups": warmup,
        "train_dataloader.total_batch_size": batch_size,
        # Two positions of the operations in the preset; a test holds them to `Resize`.
        "train_dataloader.dataset.transforms.ops.1.size": [size, size],
        "val_dataloader.dataset.transforms.ops.0.size": [size, size],
    }
    config = load_config("quick_run").with_values(settings)
    return config.override(overrides) if overrides else config
