"""The configuration of a run that learns a few pictures by heart: that of the training, but small.

What the training is made of stays: model, freezing, losses, optimizer, labels and precision. What
keeps it from learning by heart goes: augmentation, several picture sizes, averaged weights, a long
warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.schema import DataLoaderConfig
from rtdetr_nb.errors import ConfigError

STEPS_A_LOOK = 20  # an evaluation each
WARMUP_STEPS = 10
# The rates of the preset for short runs, four times those of the full training.
_SHORT_RUN_RATE = 4e-4
_MOST_FASTER = 10.0

_SIZING = ("Resize", "PadToSize")
_MULTIPLE = 32


@dataclass(frozen=True)
class Lesson:
    """How a few pictures are learnt.

    Attributes:
        pictures: how many.
        image_size: height and width that they are resized to, a multiple of 32.
        steps: optimizer updates at most, a multiple of `STEPS_A_LOOK`.
        target: the AP at which they are known.
    """

    pictures: int = 4
    image_size: int = 160
    steps: int = 200
    target: float = 0.9

    def check(self) -> None:
        """Refuse numbers that cannot be used.

        Raises:
            ConfigError: the first of them.
        """
        if self.image_size < _MULTIPLE or self.image_size % _MULTIPLE:
            raise ConfigError(
                f"image_size is {self.image_size}; give a positive multiple of {_MULTIPLE}."
            )
        if self.pictures < 1:
            raise ConfigError(f"pictures is {self.pictures}; give 1 or more.")
        if self.steps < STEPS_A_LOOK or self.steps % STEPS_A_LOOK:
            raise ConfigError(
                f"steps is {self.steps}; give a multiple of {STEPS_A_LOOK}: the pictures are "
                f"asked for every {STEPS_A_LOOK} steps."
            )
        if not 0 < self.target <= 1:
            raise ConfigError(f"target is {self.target}; give an AP above 0 and at most 1.")


def overfit_config(config: Config, folder: Path, lesson: Lesson, count: int) -> Config:
    """Return the configuration of the run.

    Args:
        config: of the training, with the labels of its data.
        folder: holds the pictures, in the layout of this kit.
        lesson: how they are learnt.
        count: of pictures in the folder.
    """
    size = [lesson.image_size, lesson.image_size]
    faster = rate_factor(config)
    values: dict[str, Any] = {
        "data": None,
        "eval_spatial_size": size,
        "HybridEncoder.eval_spatial_size": size,
        "RTDETRTransformerv2.eval_spatial_size": size,
        "use_ema": False,
        "epoches": lesson.steps // STEPS_A_LOOK,
        "eval_freq": 1,
        "eval_pictures": None,
        "stop_at_ap": lesson.target,
        "checkpoint_freq": lesson.steps,
        "preview_freq": STEPS_A_LOOK,
        "seed": config.seed or 0,
        "lr_scheduler.milestones": [lesson.steps],
        "optimizer.lr": config.optimizer.lr * faster,
    }
    for index, group in enumerate(config.optimizer.params):
        if group.lr is not None:
            values[f"optimizer.params.{index}.lr"] = group.lr * faster
    if config.lr_warmup_scheduler is not None:
        duration = min(config.lr_warmup_scheduler.warmup_duration, WARMUP_STEPS)
        values["lr_warmup_scheduler.warmup_duration"] = duration
    for split, loader in (("train", config.train_dataloader), ("val", config.val_dataloader)):
        values |= _loader_values(f"{split}_dataloader", split, loader, folder, size, count)
    return config.with_values(values)


def rate_factor(config: Config) -> float:
    """By how much all learning rates are multiplied, the same for each group.

    The rates of a long training move too little in a hundred steps.
    """
    own = [group.lr for group in config.optimizer.params if group.lr is not None]
    largest = max([config.optimizer.lr, *own])
    return min(_MOST_FASTER, max(1.0, _SHORT_RUN_RATE / largest)) if largest > 0 else 1.0


def _loader_values(
    name: str, split: str, loader: DataLoaderConfig, folder: Path, size: list[int], count: int
) -> dict[str, Any]:
    values = {
        "dataset.img_folder": str(folder / "images" / split),
        "dataset.ann_file": str(folder / "annotations" / f"{split}.json"),
        "dataset.transforms.ops": _without_chance(loader.dataset.transforms.ops, size),
        "dataset.transforms.policy": None,
        "collate_fn.scales": None,
        "shuffle": False,
        "drop_last": False,
        "num_workers": 0,
        "batch_size": None,
        "total_batch_size": count,
    }
    return {f"{name}.{key}": value for key, value in values.items()}


def _without_chance(ops: Any, size: list[int]) -> list[dict[str, Any]]:
    """The operations that do the same to a picture each time, at the given size."""
    kept = [operation for operation in ops or () if not _is_left_out(operation)]
    return [{"type": "Resize", "size": size}, *kept]


def _is_left_out(operation: Any) -> bool:
    """Whether an operation is random or sets the size; one that is malformed is refused later."""
    kind = str(operation.get("type")) if isinstance(operation, dict) else ""
    return kind.startswith("Random") or kind in _SIZING
