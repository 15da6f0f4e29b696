"""What this package does not build, or could not run, is refused before anything is built."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rtdetr_nb.errors import ConfigError

if TYPE_CHECKING:
    from rtdetr_nb.config.load import Config

_COSTS = {"cost_class", "cost_bbox", "cost_giou"}
_NUM_STAGES = 4


def check(config: Config) -> None:
    """Refuse the first value that cannot be used.

    Raises:
        ConfigError: says its key, what was found and what was expected.
    """
    for key, found, fits, expected in _rules(config):
        if not fits:
            raise ConfigError(f"{config.source}: {key} is {found!r}; expected {expected}.")


def _rules(config: Config) -> Iterator[tuple[str, Any, bool, str]]:
    """Key, value, whether it can be used, and what can be."""
    for key, found, known in _choices(config):
        yield key, found, found in known, ", ".join(sorted(map(str, known)))
    for key, found, least in _least_values(config):
        yield key, found, found is None or found >= least, f"{least} or more"
    for key, found in _rates(config):
        fits = found is None or (math.isfinite(found) and found >= 0)
        yield key, found, fits, "a number, 0 or more"
    betas = config.optimizer.betas
    yield "optimizer.betas", betas, all(0 <= beta < 1 for beta in betas), "two numbers, 0 to 1"
    stages = config.backbone.return_idx
    yield (
        *("HGNetv2.return_idx", stages, all(0 <= stage < _NUM_STAGES for stage in stages)),
        f"numbers of stages, 0 to {_NUM_STAGES - 1}",
    )
    yield from _loss_rules(config)
    points, num_levels = config.decoder.num_points, config.decoder.num_levels
    each = [points] * num_levels if isinstance(points, int) else points
    yield (
        *("RTDETRTransformerv2.num_points", points),
        isinstance(each, list) and [type(count) for count in each] == [int] * num_levels,
        f"one number, or a list of {num_levels}, one for each of the num_levels",
    )


def _choices(config: Config) -> Iterator[tuple[str, Any, set[Any]]]:
    """Keys whose values are names, and the names that are known."""
    parts, decoder = config.parts, config.decoder
    yield "model", config.model, {"RTDETR"}
    yield "criterion", config.criterion, {"RTDETRCriterionv2"}
    yield "postprocessor", config.postprocessor, {"RTDETRPostProcessor"}
    yield "RTDETR.backbone", parts.backbone, {"HGNetv2"}
    yield "RTDETR.encoder", parts.encoder, {"HybridEncoder"}
    yield "RTDETR.decoder", parts.decoder, {"RTDETRTransformerv2"}
    yield "HGNetv2.name", config.backbone.name, {"L", "X", "H"}
    yield "HybridEncoder.version", config.encoder.version, {"v2"}
    prefix = "RTDETRTransformerv2"
    yield f"{prefix}.cross_attn_method", decoder.cross_attn_method, {"default", "discrete"}
    methods = {"default", "one2many", "agnostic"}
    yield f"{prefix}.query_select_method", decoder.query_select_method, methods
    formats = {None, "iou", "giou"}
    yield "RTDETRCriterionv2.boxes_weight_format", config.loss.boxes_weight_format, formats
    yield "RTDETRCriterionv2.matcher.type", config.loss.matcher.type, {"HungarianMatcher"}
    yield "optimizer.type", config.optimizer.type, {"AdamW"}
    yield "lr_scheduler.type", config.lr_scheduler.type, {"MultiStepLR"}


def _least_values(config: Config) -> Iterator[tuple[str, int | None, int]]:
    """Counts, and the least that makes sense of each; None is none given."""
    for key in ("num_classes", "epoches", "print_freq", "checkpoint_freq", "eval_freq"):
        yield key, getattr(config, key), 1
    for key in ("preview_freq", "seed"):
        yield key, getattr(config, key), 0
    yield "eval_pictures", config.eval_pictures, 1
    yield "ema.warmups", config.ema.warmups, 1
    if config.lr_warmup_scheduler is not None:
        yield "lr_warmup_scheduler.warmup_duration", config.lr_warmup_scheduler.warmup_duration, 1
    for name in ("train_dataloader", "val_dataloader"):
        loader = getattr(config, name)
        yield f"{name}.num_workers", loader.num_workers, 0
        yield f"{name}.batch_size", loader.batch_size, 1
        yield f"{name}.total_batch_size", loader.total_batch_size, 1


def _rates(config: Config) -> Iterator[tuple[str, float | None]]:
    """Learning rates and what is like them; None is that of the optimizer."""
    yield "clip_max_norm", config.clip_max_norm
    yield "optimizer.lr", config.optimizer.lr
    yield "optimizer.weight_decay", config.optimizer.weight_decay
    for index, group in enumerate(config.optimizer.params):
        yield f"optimizer.params.{index}.lr", group.lr
        yield f"optimizer.params.{index}.weight_decay", group.weight_decay


def _loss_rules(config: Config) -> Iterator[tuple[str, Any, bool, str]]:
    prefix, loss = "RTDETRCriterionv2", config.loss
    weights, needed = set(loss.weight_dict), {"loss_bbox", "loss_giou"}
    yield f"{prefix}.weight_dict", sorted(weights), needed <= weights, f"at least {sorted(needed)}"
    costs = set(loss.matcher.weight_dict)
    key = f"{prefix}.matcher.weight_dict"
    yield key, sorted(costs), costs == _COSTS, f"{sorted(_COSTS)}"
    known = set(loss.losses) <= {"vfl", "focal", "boxes"}
    yield f"{prefix}.losses", list(loss.losses), known, "vfl or focal, and boxes"
