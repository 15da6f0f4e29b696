"""What a rehearsal is told: the configuration of the training, with little to do."""

from __future__ import annotations

from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.yaml_tree import copy_plain
from rtdetr_nb.diagnostics.preflight.training import Training

ASKED_FILE, FACTS_FILE = "asked.json", "facts.json"  # to its process, and from it
NEVER = 10**9  # epochs between two evaluations, or two checkpoints
_MORE_EPOCHS = 4  # so that two steps fit behind a checkpoint of the last epoch, and into any data


def rehearsed_config(training: Training) -> Config:
    """The configuration with the largest pictures of the training, and nothing but its steps."""
    config, scales = _without_batch_size(training.config), training.scales
    val = training.config.val_dataloader
    values: dict[str, Any] = {
        "train_dataloader.total_batch_size": training.batch_size,
        "val_dataloader.total_batch_size": val.total_batch_size
        or (val.batch_size or 1) * training.processes,
        "epoches": config.epoches + _MORE_EPOCHS,
        "eval_freq": NEVER,
        "checkpoint_freq": NEVER,
        "preview_freq": 0,
        "summary_dir": None,
        "compile": False,
    }
    if scales and training.largest_hw == (max(scales),) * 2:
        values["train_dataloader.collate_fn.scales"] = [max(scales)]
    elif scales:
        values["train_dataloader.collate_fn.scales"] = None
    return config.with_values(values)


def _without_batch_size(config: Config) -> Config:
    """The configuration without the key that the official code takes with any value."""
    merged = copy_plain(config.yaml)
    for loader in ("train_dataloader", "val_dataloader"):
        merged.get(loader, {}).pop("batch_size", None)
    return Config.from_yaml(merged, config.source)


def with_pictures(config: Config, pictures: int, is_reduced: bool) -> Config:
    """The configuration with so many pictures a step, and one batch of an evaluation.

    Args:
        config: as `rehearsed_config` makes it.
        pictures: of a step, over all processes.
        is_reduced: whether the evaluation, too, has no more than that.
    """
    val = config.val_dataloader.total_batch_size or pictures
    evaluated = min(val, pictures) if is_reduced else val
    return config.with_values(
        {
            "train_dataloader.total_batch_size": pictures,
            "val_dataloader.total_batch_size": evaluated,
            "eval_pictures": evaluated,
        }
    )
