"""The training step: ours against that of an official checkout, in one process and in turn.

`make bench OFFICIAL=DIR` names the folder `rtdetrv2_pytorch` of a checkout. Without it there are no
rows. Both sides begin with the same weights, train on the same batch, and average the weights.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.table import Result
from rtdetr_nb.config.load import load_config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.assembly import compile_parts
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.optimizer import build_lr_scheduler, build_optimizer
from rtdetr_nb.training.precision import Precision, choose_precision
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import train_step

CONFIG = "configs/rtdetrv2/rtdetrv2_hgnetv2_l_6x_coco.yml"
CLIP = 0.1
Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """What a step is measured on; sizes in pixels."""

    device: torch.device
    size: int
    batch: int
    rounds: int

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        return f"{self.size} px, batch {self.batch}, {where}"

    def overrides(self) -> list[str]:
        """As our configuration takes them."""
        return [f"eval_spatial_size=[{self.size},{self.size}]", "HGNetv2.pretrained=False"]


ON_CPU = Setting(torch.device("cpu"), size=320, batch=4, rounds=8)
ON_GPU = Setting(torch.device("cuda"), size=640, batch=16, rounds=30)


def run() -> list[Result]:
    """Return (name, ratio to the official step in float32, explanation) for both sides."""
    checkout = os.environ.get("OFFICIAL")
    if not checkout:
        return []
    setting = ON_GPU if torch.cuda.is_available() else ON_CPU
    steps = _steps(Path(checkout).expanduser().resolve(), setting)
    for step in [step for step in steps.values() for _ in range(3)]:
        step()  # compiles, and fills what is kept between steps
    rounds = [
        {name: _seconds(step, setting) for name, step in steps.items()}
        for _ in range(setting.rounds)
    ]
    base = next(iter(steps))
    return [
        (
            name,
            statistics.median(r[name] / r[base] for r in rounds),
            f"{setting}: median {statistics.median(r[name] for r in rounds):.3f} s",
        )
        for name in steps
    ]


def _steps(checkout: Path, setting: Setting) -> dict[str, Step]:
    full = choose_precision(setting.device, use_amp=False)
    half = choose_precision(setting.device, use_amp=True)
    kind = "float16" if half.dtype is torch.float16 else "bfloat16"
    steps = {
        "official step float32": official_step(checkout, setting, full),
        "our step float32": our_step(setting, full),
    }
    if half.dtype is not None:
        steps[f"official step {kind}"] = official_step(checkout, setting, half)
        steps[f"our step {kind}"] = our_step(setting, half)
    if setting.device.type == "cuda":
        steps[f"our step {kind}, compiled"] = our_step(setting, half, compiled=True)
    return steps


def our_step(setting: Setting, precision: Precision, compiled: bool = False) -> Step:
    """One step as a run takes it: update, average, figures of the record."""
    torch.manual_seed(0)
    config = load_config("rtdetrv2_hgnetv2_l", setting.overrides())
    model, criterion = build_model(config).train(), build_criterion(config)
    model.to(setting.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, targets = _batch(setting)
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = build_optimizer(config, model)
    schedule = build_lr_scheduler(config, optimizer)
    average = ModelEMA(model, config.ema.decay, config.ema.warmups)
    scaler = precision.make_scaler()
    state = TrainingState(model, optimizer, schedule, None, average, scaler, seed=0)
    if compiled:
        compile_parts(model)

    def step() -> None:
        train_step(state, model, criterion, (images, targets), precision, CLIP)

    return step


def official_step(checkout: Path, setting: Setting, precision: Precision) -> Step:
    """One step of the checkout's classes, in the order of its training loop."""
    parts = _official_parts(checkout, setting)
    model, criterion, optimizer = parts.model, parts.criterion, parts.optimizer
    parts.ema.to(setting.device)
    images, targets = _batch(setting)
    scaler = precision.make_scaler()

    def step() -> None:
        with precision.autocast():
            outputs = model(images, targets=targets)
        losses = criterion(outputs, targets, epoch=0, step=0, global_step=0)
        total: Any = sum(losses.values())
        optimizer.zero_grad()
        (scaler.scale(total) if scaler else total).backward()
        if scaler:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        parts.ema.update(model)
        total.item()

    return step


def _official_parts(checkout: Path, setting: Setting) -> Any:
    """The checkout's configuration object, its model with the weights that ours begins with."""
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    from src.core import YAMLConfig  # pyright: ignore[reportMissingImports]

    size = [setting.size, setting.size]
    parts = YAMLConfig(
        str(checkout / CONFIG), HGNetv2={"pretrained": False}, eval_spatial_size=size
    )
    torch.manual_seed(0)
    ours = build_model(load_config("rtdetrv2_hgnetv2_l", setting.overrides()))
    parts.model.load_state_dict(ours.state_dict())
    parts.model.to(setting.device).train()
    parts.criterion.to(setting.device).train()
    return parts


def _batch(setting: Setting) -> tuple[Tensor, list[dict[str, Tensor]]]:
    torch.manual_seed(1)
    images = torch.rand(setting.batch, 3, setting.size, setting.size, device=setting.device)
    targets = []
    for count in range(4, 4 + setting.batch):
        center, size = 0.3 + 0.4 * torch.rand(count, 2), 0.1 + 0.3 * torch.rand(count, 2)
        boxes = torch.cat([center, size], dim=1).to(setting.device)
        targets.append(
            {"labels": torch.randint(0, 80, (count,)).to(setting.device), "boxes": boxes}
        )
    return images, targets


def _seconds(step: Step, setting: Setting) -> float:
    began = time.perf_counter()
    step()
    if setting.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Print the rows alone."""
    for name, ratio, explanation in run():
        print(f"{ratio:6.3f}  {name:<32} {explanation}")


if __name__ == "__main__":
    main()
