"""The training step: ours against the straightforward form, which matches and scores every layer
by itself, in float32. Ratios of the median of several steps, taken in turn within one process, so
that a noisy machine harms all variants alike."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rtdetr_nb.config import Config, load_config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.criterion import Criterion, build_criterion, denoising_matches
from rtdetr_nb.training.matcher import Targets
from rtdetr_nb.training.optimizer import build_lr_scheduler, build_optimizer
from rtdetr_nb.training.precision import Precision, cpu_has_bfloat16
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import train_step

IMAGE_SIZE = 256
BATCH_SIZE = 2
ROUNDS = 4

Result = tuple[str, float, str]


class LayerByLayerCriterion(Criterion):
    """The same losses with one matching and one computation for each layer."""

    def forward(self, outputs: Mapping[str, Any], targets: Targets) -> dict[str, Tensor]:
        """As `Criterion.forward`, layer by layer."""
        last = {key: outputs[key] for key in ("pred_logits", "pred_boxes")}
        losses = super().forward(last, targets)
        for index, layer in enumerate(outputs["aux_outputs"]):
            found = super().forward(layer, targets)
            losses |= {f"{name}_aux_{index}": value for name, value in found.items()}
        meta = outputs["dn_meta"]
        num_boxes = max(sum(len(t["labels"]) for t in targets), 1) * meta["dn_num_group"]
        for index, layer in enumerate(outputs["dn_aux_outputs"]):
            matches = denoising_matches(meta, targets, num_layers=1)
            logits, boxes = layer["pred_logits"][None], layer["pred_boxes"][None]
            found = self._losses(logits, boxes, targets, matches, num_boxes)
            losses |= {f"{name}_dn_{index}": value[0] for name, value in found.items()}
        for index, layer in enumerate(outputs["enc_aux_outputs"]):
            found = super().forward(layer, targets)
            losses |= {f"{name}_enc_{index}": value for name, value in found.items()}
        return losses


def run() -> list[Result]:
    """Time the variants and return (name, ratio to the straightforward form, explanation)."""
    torch.manual_seed(0)
    config = _config()
    batch = _batch()
    ours = build_criterion(config)
    by_layer = copy.deepcopy(ours)
    by_layer.__class__ = LayerByLayerCriterion
    model = build_model(config).train()
    variants = {
        "layer by layer, float32": _stepper(config, model, by_layer, batch),
        "float32": _stepper(config, model, ours, batch),
        "float32, channels-last": _stepper(config, model, ours, batch, channels_last=True),
    }
    if cpu_has_bfloat16():
        half = Precision("cpu", torch.bfloat16)
        variants["bfloat16, channels-last"] = _stepper(config, model, ours, batch, half, True)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS + 1):
        for name, step in variants.items():
            seconds[name].append(step())
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    reference = medians.pop("layer by layer, float32")
    what = f"{IMAGE_SIZE} px, batch {BATCH_SIZE}, CPU, against layer by layer"
    return [
        ("criterion float32", _criterion_ratio(model, ours, by_layer, batch), what),
        *((f"step {name}", value / reference, what) for name, value in medians.items()),
    ]


def float32_step() -> Callable[[], float]:
    """A function that trains one step as this project does, and returns its seconds."""
    torch.manual_seed(0)
    config = _config()
    return _stepper(config, build_model(config).train(), build_criterion(config), _batch())


def _config() -> Config:
    size = f"eval_spatial_size=[{IMAGE_SIZE},{IMAGE_SIZE}]"
    return load_config("rtdetrv2_hgnetv2_l", [size, "num_classes=10"])


def _criterion_ratio(
    model: torch.nn.Module,
    ours: Criterion,
    by_layer: Criterion,
    batch: tuple[Tensor, list[dict[str, Tensor]]],
) -> float:
    """Seconds of the matching and the losses alone, ours over layer by layer."""
    images, targets = batch
    outputs = model(images, targets)
    seconds: dict[Criterion, list[float]] = {ours: [], by_layer: []}
    for _ in range(3 * ROUNDS):
        for criterion, times in seconds.items():
            began = time.perf_counter()
            criterion(outputs, targets)
            times.append(time.perf_counter() - began)
    return statistics.median(seconds[ours]) / statistics.median(seconds[by_layer])


def _stepper(
    config: Config,
    model: torch.nn.Module,
    criterion: Criterion,
    batch: tuple[Tensor, list[dict[str, Tensor]]],
    precision: Precision | None = None,
    channels_last: bool = False,
) -> Callable[[], float]:
    """A function that trains one step on a copy of the model and returns its seconds."""
    model = copy.deepcopy(model)
    images, targets = batch
    if channels_last:
        model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = build_optimizer(config, model)
    state = TrainingState(
        model, optimizer, build_lr_scheduler(config, optimizer), None, None, None, seed=0
    )

    def step() -> float:
        began = time.perf_counter()
        train_step(
            state, model, criterion, (images, targets), precision or Precision("cpu", None), 0.1
        )
        return time.perf_counter() - began

    return step


def _batch() -> tuple[Tensor, list[dict[str, Tensor]]]:
    images = torch.rand(BATCH_SIZE, 3, IMAGE_SIZE, IMAGE_SIZE)
    targets = []
    for count in range(4, 4 + BATCH_SIZE):
        center, size = 0.3 + 0.4 * torch.rand(count, 2), 0.1 + 0.3 * torch.rand(count, 2)
        labels = torch.randint(0, 10, (count,))
        targets.append({"labels": labels, "boxes": torch.cat([center, size], dim=1)})
    return images, targets
