"""What this package does not build, or could not run, is refused before anything is built."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rtdetr_nb.config.config_file import ConfigFile
from rtdetr_nb.config.picture_sizes import picture_sizes
from rtdetr_nb.errors import ConfigError

_COSTS = {"cost_class", "cost_bbox", "cost_giou"}
_NUM_STAGES = 4


class Rule(NamedTuple):
    """A value of the configuration and what is expected of it."""

    key: str
    value: Any
    fits: bool
    expected: str


def check(config: ConfigFile, source: str) -> None:
    """Refuse the first value that cannot be used.

    Args:
        config: the values.
        source: what the message calls the file.

    Raises:
        ConfigError: says its key, what was found and what was expected.
    """
    for rule in _rules(config):
        if not rule.fits:
            raise ConfigError(f"{source}: {rule.key} is {rule.value!r}; expected {rule.expected}.")


def _rules(config: ConfigFile) -> Iterator[Rule]:
    for key, value, known in _choices(config):
        yield Rule(key, value, value in known, ", ".join(sorted(map(str, known))))
    for key, count, least in _least_values(config):
        yield Rule(key, count, count is None or count >= least, f"{least} or more")
    for key, rate in _rates(config):
        fits = rate is None or (math.isfinite(rate) and rate >= 0)
        yield Rule(key, rate, fits, "a number, 0 or more")
    betas = config.optimizer.betas
    in_range = all(0 <= beta < 1 for beta in betas)
    yield Rule("optimizer.betas", betas, in_range, "two numbers, 0 to 1")
    stages = config.backbone.return_idx
    known = bool(stages) and all(0 <= stage < _NUM_STAGES for stage in stages)
    expected = f"numbers of stages, 0 to {_NUM_STAGES - 1}"
    yield Rule("HGNetv2.return_idx", stages, known, expected)
    yield from _loss_rules(config)
    yield _points_rule(config)
    yield from _size_rules(config)


def _choices(config: ConfigFile) -> Iterator[tuple[str, Any, set[Any]]]:
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


def _least_values(config: ConfigFile) -> Iterator[tuple[str, int | None, int]]:
    """Counts, None if the file gives no number, and the smallest that makes sense."""
    for key in (
        "num_classes",
        "epoches",
        "print_freq",
        "checkpoint_freq",
        "eval_freq",
        "accumulate",
    ):
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


def _rates(config: ConfigFile) -> Iterator[tuple[str, float | None]]:
    """Learning rates and other factors; None in a group stands for the optimizer's value."""
    yield "clip_max_norm", config.clip_max_norm
    yield "stop_at_ap", config.stop_at_ap
    yield "optimizer.lr", config.optimizer.lr
    yield "optimizer.weight_decay", config.optimizer.weight_decay
    for index, group in enumerate(config.optimizer.params):
        yield f"optimizer.params.{index}.lr", group.lr
        yield f"optimizer.params.{index}.weight_decay", group.weight_decay


def _loss_rules(config: ConfigFile) -> Iterator[Rule]:
    prefix, loss = "RTDETRCriterionv2", config.loss
    weights, needed = set(loss.weight_dict), {"loss_bbox", "loss_giou"}
    expected = f"at least {sorted(needed)}"
    yield Rule(f"{prefix}.weight_dict", sorted(weights), needed <= weights, expected)
    costs = set(loss.matcher.weight_dict)
    key = f"{prefix}.matcher.weight_dict"
    yield Rule(key, sorted(costs), costs == _COSTS, f"{sorted(_COSTS)}")
    known = set(loss.losses) <= {"vfl", "focal", "boxes"}
    yield Rule(f"{prefix}.losses", list(loss.losses), known, "vfl or focal, and boxes")


def _points_rule(config: ConfigFile) -> Rule:
    points, num_levels = config.decoder.num_points, config.decoder.num_levels
    each = [points] * num_levels if isinstance(points, int) else points
    fits = isinstance(each, list) and [type(count) for count in each] == [int] * num_levels
    expected = f"one number, or a list of {num_levels}, one for each of the num_levels"
    return Rule("RTDETRTransformerv2.num_points", points, fits, expected)


def _size_rules(config: ConfigFile) -> Iterator[Rule]:
    """Sides of pictures: the encoder joins maps, so each has to halve without a remainder."""
    stride = 4 * 2 ** max(config.backbone.return_idx)
    for key, sizes in picture_sizes(config):
        fits = all(size > 0 and size % stride == 0 for size in _listed(sizes))
        near = [max(1, round(size / stride)) * stride for size in _listed(sizes)]
        nearest = near[0] if isinstance(sizes, int) else near
        yield Rule(key, sizes, fits, f"multiples of {stride}; the nearest is {nearest}")


def _listed(sizes: int | Sequence[int]) -> Sequence[int]:
    return [sizes] if isinstance(sizes, int) else sizes
