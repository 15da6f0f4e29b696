"""The training step: ours against its straightforward form.

The median of the ratios of steps of the same round in one process, so that a noisy machine harms
both alike; ratios of peak memory in separate processes.
"""

import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.memory import forget_peak, peak_memory
from bench.straightforward import LayerByLayerCriterion, attention_by_maps, make_straightforward
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.model.deformable_attention import DeformableAttention, Sampling
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.optimizer import build_lr_scheduler, build_optimizer
from rtdetr_nb.training.precision import Precision, cpu_has_bfloat16
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import train_step

IMAGE_SIZE = 320
BATCH_SIZE = 4
ROUNDS = 10

Result = tuple[str, float, str]


@dataclass(frozen=True)
class Variant:
    """How a step is computed; by default as in a run without further settings."""

    straightforward: bool = False
    channels_last: bool = True
    precision: Precision = Precision("cpu", None)


STRAIGHTFORWARD = "straightforward"
VARIANTS = {
    STRAIGHTFORWARD: Variant(straightforward=True, channels_last=False),
    "float32, not channels-last": Variant(channels_last=False),
    "float32": Variant(),
}
if cpu_has_bfloat16():
    _HALF = Precision("cpu", torch.bfloat16)
    VARIANTS["bfloat16"] = Variant(precision=_HALF)


def run() -> list[Result]:
    """Time the variants and return (name, ratio to the straightforward form, explanation)."""
    steps = {name: step_function(variant) for name, variant in VARIANTS.items()}
    rounds = [{name: step() for name, step in steps.items()} for _ in range(ROUNDS + 1)]
    del rounds[0], steps  # the first one prepares
    names = [name for name in VARIANTS if name != STRAIGHTFORWARD]
    median = {name: statistics.median(r[name] for r in rounds) for name in VARIANTS}
    memory = {name: _megabytes(name) for name in VARIANTS}
    size = f"{IMAGE_SIZE} px, batch {BATCH_SIZE}, CPU"
    return [
        ("criterion float32", _criterion_ratio(), f"{size}, against layer by layer"),
        ("deformable attention", _attention_ratio(), f"{size}, against map by map"),
        *(
            (
                f"step {name}",
                statistics.median(r[name] / r[STRAIGHTFORWARD] for r in rounds),
                f"{size}: median {median[name]:.2f} s, and {median[STRAIGHTFORWARD]:.2f} s",
            )
            for name in names
        ),
        *(
            (
                f"memory of a step {name}",
                memory[name] / memory[STRAIGHTFORWARD],
                f"{size}: {memory[name]:.0f} MB against {memory[STRAIGHTFORWARD]:.0f} MB",
            )
            for name in names
        ),
    ]


def step_function(variant: Variant = VARIANTS["float32"]) -> Callable[[], float]:
    """A function that trains one step and returns its seconds; all variants begin alike."""
    torch.manual_seed(0)
    config = _config()
    model, criterion = build_model(config).train(), build_criterion(config)
    images, targets = _batch()
    if variant.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = build_optimizer(config, model)
    state = TrainingState(
        model, optimizer, build_lr_scheduler(config, optimizer), None, None, None, seed=0
    )
    if variant.straightforward:
        make_straightforward(model, criterion, optimizer)

    def step() -> float:
        with attention_by_maps() if variant.straightforward else nullcontext():
            began = time.perf_counter()
            train_step(state, model, criterion, (images, targets), variant.precision, 0.1)
            return time.perf_counter() - began

    return step


def _megabytes(name: str) -> float:
    """Peak memory that a model and its steps add to a separate process."""
    command = [sys.executable, "-m", "bench.bench_step", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _config() -> Config:
    size = f"eval_spatial_size=[{IMAGE_SIZE},{IMAGE_SIZE}]"
    return load_config("rtdetrv2_hgnetv2_l", [size, "num_classes=10"])


def _criterion_ratio() -> float:
    """Seconds of the matching and the losses alone, ours over layer by layer."""
    torch.manual_seed(0)
    config = _config()
    criterion = build_criterion(config)
    by_layer = copy.deepcopy(criterion)
    by_layer.__class__ = LayerByLayerCriterion
    images, targets = _batch()
    outputs = build_model(config).train()(images, targets)
    return _ratio(lambda: criterion(outputs, targets), lambda: by_layer(outputs, targets))


def _attention_ratio() -> float:
    """Seconds of one layer's deformable attention, both ways, by rows over by maps."""
    torch.manual_seed(0)
    module = DeformableAttention(256, 8, Sampling((4, 4, 4), "default"))
    sizes = [(IMAGE_SIZE // stride, IMAGE_SIZE // stride) for stride in (8, 16, 32)]
    query, boxes = torch.randn(BATCH_SIZE, 500, 256), torch.rand(BATCH_SIZE, 500, 4)
    memory = torch.randn(BATCH_SIZE, sum(h * w for h, w in sizes), 256)

    def by_rows() -> None:
        module(query, boxes, memory, sizes).sum().backward()

    def by_maps() -> None:
        with attention_by_maps():
            by_rows()

    return _ratio(by_rows, by_maps)


def _ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Median of the ratios of their seconds, taken in turn."""
    return statistics.median(_seconds(ours) / _seconds(theirs) for _ in range(3 * ROUNDS))


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _batch() -> tuple[Tensor, list[dict[str, Tensor]]]:
    images = torch.rand(BATCH_SIZE, 3, IMAGE_SIZE, IMAGE_SIZE)
    targets = []
    for count in range(4, 4 + BATCH_SIZE):
        center, size = 0.3 + 0.4 * torch.rand(count, 2), 0.1 + 0.3 * torch.rand(count, 2)
        labels = torch.randint(0, 10, (count,))
        targets.append({"labels": labels, "boxes": torch.cat([center, size], dim=1)})
    return images, targets


def main() -> None:
    """Measure the memory of one variant, as a child process."""
    forget_peak()
    before = peak_memory()
    step = step_function(VARIANTS[sys.argv[1]])
    step()
    step()
    print(json.dumps((peak_memory() - before) / 1e6))


if __name__ == "__main__":
    main()
