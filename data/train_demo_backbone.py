"""Train the demo backbone and write it in the layout of a distillation trainer's export.

An HGNetv2-L learns on pictures that `rtdetr_nb.datasets.shapes` draws as it goes, none of them in
the sample of `data/shapes`. On each of the three maps that a detector uses stands an adapter (a 1x1
convolution, as distillation trainers put between student and teacher). Its output feeds two heads:
one names the object in each true box, the other says for every cell whether it is on an object and
where that object's box ends:

    python data/train_demo_backbone.py --output data/demo_backbone_mmdet.pth

The state file is rewritten every few minutes; a second call with the same file goes on from there.
"""

import argparse
import io
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from torchvision.ops import complete_box_iou_loss, roi_align

from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.datasets.shapes.generate import (
    CLASS_NAMES,
    JPEG_QUALITY,
    MAX_OBJECTS,
    MIN_DIAMETER,
    draw_picture,
)
from rtdetr_nb.model.build import make_backbone

log = logging.getLogger("train_demo_backbone")
STRIDES = (8, 16, 32)
BINS = 2  # a box is pooled to so many rows and columns
# The first number of a picture's seed. The sample's seeds are (0, split, index).
TRAINING_SEED, HELD_OUT_SEED = 71_001, 71_002


@dataclass(frozen=True)
class Phase:
    """So many steps on pictures of one kind; sizes in pixels."""

    steps: int
    side: int
    pictures: int
    max_objects: int
    min_diameter: float


@dataclass(frozen=True)
class Settings:
    """What is written into the file's `meta`.

    Names are hard to learn from small shapes in a crowd, and cheap to learn from small pictures, so
    the training goes from one large shape in a small picture to pictures as the sample has them.
    And they are hard to learn among colours and textures that mean nothing: the pictures begin as
    white shapes on black and fade to the real ones over the first `fade_steps`.
    """

    phases: tuple[Phase, ...] = (
        Phase(steps=450, side=64, pictures=40, max_objects=1, min_diameter=36.0),
        Phase(steps=600, side=128, pictures=12, max_objects=6, min_diameter=MIN_DIAMETER),
    )
    learning_rate: float = 6e-4
    weight_decay: float = 0.05
    warmup_steps: int = 40
    fade_steps: int = 300
    adapter_channels: int = 128
    held_out_side: int = 256
    seed: int = 0

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_of(self, step: int) -> Phase:
        """The phase that a step, counted from 0, belongs to."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError(f"there are {self.steps} steps")


@dataclass(frozen=True)
class MapOutput:
    """What the heads say at one stride, for a batch of B pictures with N objects in all.

    Attributes:
        class_logits: (N, classes), one row for each true box.
        cell_logits: (B, cells), whether a cell is on an object.
        cell_boxes: (B, cells, 4), the box of that object, xyxy in pixels.
    """

    class_logits: Tensor
    cell_logits: Tensor
    cell_boxes: Tensor


class Labeller(nn.Module):
    """Backbone, adapters and heads; the heads are thrown away after the training."""

    def __init__(self, adapter_channels: int) -> None:
        super().__init__()
        self.backbone = make_backbone(BackboneConfig(name="L"))
        self.adapters = nn.ModuleList(
            nn.Conv2d(channels, adapter_channels, 1) for channels in self.backbone.out_channels
        )
        self.class_heads = nn.ModuleList(
            nn.Linear(adapter_channels * BINS * BINS, len(CLASS_NAMES)) for _ in STRIDES
        )
        self.cell_heads = nn.ModuleList(nn.Conv2d(adapter_channels, 1 + 4, 1) for _ in STRIDES)

    def forward(self, images: Tensor, boxes_xyxy: list[Tensor]) -> list[MapOutput]:
        """Images (B, 3, H, W) and their true boxes in pixels to one output for each stride."""
        adapted = [
            F.relu(adapter(x))
            for adapter, x in zip(self.adapters, self.backbone(images), strict=True)
        ]
        heads = zip(adapted, self.class_heads, self.cell_heads, STRIDES, strict=True)
        return [_head_output(*head, boxes_xyxy) for head in heads]


def _head_output(
    x: Tensor, class_head: nn.Module, cell_head: nn.Module, stride: int, boxes_xyxy: list[Tensor]
) -> MapOutput:
    pooled = roi_align(x.contiguous(), boxes_xyxy, BINS, 1.0 / stride, aligned=True)
    cells = cell_head(x).flatten(2).transpose(1, 2)  # (B, cells, 1 + 4)
    distances = cells[..., 1:].clamp(-4.0, 4.0).exp() * stride  # to the four sides, in pixels
    centres = cell_centres(x.shape[-2:], stride)
    boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
    return MapOutput(class_head(pooled.flatten(1)), cells[..., 0], boxes)


def cell_centres(size_hw: torch.Size, stride: int) -> Tensor:
    """Centres (x, y) of the cells of a map in pixels, (H * W, 2)."""
    y, x = (torch.arange(int(side), dtype=torch.float32) * stride + stride / 2 for side in size_hw)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


def assign_cells(boxes: Tensor, side: int, stride: int) -> Tensor:
    """The object of each cell, -1 for the ground: (cells,) int64 for boxes (N, 4) xyxy in pixels.

    A cell belongs to an object when its centre lies in the middle 60 % of the box, or the box's
    centre in the cell; of several, to the smallest.
    """
    centres = cell_centres(torch.Size((side // stride,) * 2), stride)
    owner = torch.full((len(centres),), -1)
    sizes = boxes[:, 2:] - boxes[:, :2]
    middles = (boxes[:, 2:] + boxes[:, :2]) / 2
    for index in sizes.prod(dim=1).argsort(descending=True).tolist():
        offset = (centres - middles[index]).abs()
        reach = (0.3 * sizes[index]).clamp(min=stride / 2)
        owner[(offset <= reach).all(dim=1)] = index
    return owner


def draw_sample(
    seed: tuple[int, ...],
    side: int,
    min_diameter: float = MIN_DIAMETER,
    max_objects: int = MAX_OBJECTS,
    fade: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """One picture as the sample's look after resizing: (3, side, side) in 0..1, boxes, labels.

    `fade` goes from white shapes on black, 0, to the picture itself, 1.
    """
    scale = np.random.default_rng((*seed, 1)).uniform(1.0, 1.5)
    drawn_side = round(side * scale)
    picture = draw_picture(seed, (drawn_side, drawn_side), min_diameter, max_objects)
    buffer = io.BytesIO()
    silhouettes = 255.0 * (picture.owners >= 0)[..., None]
    faded = (fade * picture.image + (1.0 - fade) * silhouettes).astype(np.uint8)
    Image.fromarray(faded).save(buffer, "JPEG", quality=JPEG_QUALITY)
    image = Image.open(buffer).resize((side, side), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255.0
    boxes = torch.from_numpy(picture.boxes_xyxy) * (side / drawn_side)
    return pixels, boxes, torch.from_numpy(picture.labels)


@dataclass(frozen=True)
class Batch:
    """Pictures and what the heads should say.

    Attributes:
        images: (B, 3, side, side) in 0..1.
        boxes_xyxy: for each picture (N, 4), in pixels.
        labels: (N,), of all pictures together.
        cell_boxes: for each stride (B, cells, 4), the box of the object that a cell is on.
        cell_positive: for each stride (B, cells), whether it is on one.
    """

    images: Tensor
    boxes_xyxy: list[Tensor]
    labels: Tensor
    cell_boxes: list[Tensor]
    cell_positive: list[Tensor]


class Batches(IterableDataset[Batch]):
    """The batches of steps `first` and on."""

    def __init__(self, settings: Settings, first: int) -> None:
        super().__init__()
        self.settings, self.first = settings, first

    def __iter__(self) -> Iterator[Batch]:
        """Yield them in the order of the steps."""
        torch.set_num_threads(1)
        for step in range(self.first, self.settings.steps):
            phase = self.settings.phase_of(step)
            seeds = [(TRAINING_SEED, step, index) for index in range(phase.pictures)]
            fade = min(step / self.settings.fade_steps, 1.0)
            samples = [
                draw_sample(seed, phase.side, phase.min_diameter, phase.max_objects, fade)
                for seed in seeds
            ]
            yield make_batch(samples, phase.side)


def make_batch(samples: list[tuple[Tensor, Tensor, Tensor]], side: int) -> Batch:
    """Put samples together and lay their boxes out on the cells of each stride."""
    images, boxes_xyxy, labels = zip(*samples, strict=True)
    # One row more, which the index -1 of the ground picks.
    padded = [F.pad(boxes, (0, 0, 0, 1)) for boxes in boxes_xyxy]
    cell_boxes, cell_positive = [], []
    for stride in STRIDES:
        owners = [assign_cells(boxes, side, stride) for boxes in boxes_xyxy]
        rows = [row[owner] for row, owner in zip(padded, owners, strict=True)]
        cell_boxes.append(torch.stack(rows))
        cell_positive.append(torch.stack(owners) >= 0)
    return Batch(
        torch.stack(images), list(boxes_xyxy), torch.cat(labels), cell_boxes, cell_positive
    )


def batch_loss(outputs: list[MapOutput], batch: Batch) -> Tensor:
    """Names, whether a cell is on an object, and box overlap; the mean over the strides."""
    losses = []
    for output, boxes, positive in zip(outputs, batch.cell_boxes, batch.cell_positive, strict=True):
        losses.append(F.cross_entropy(output.class_logits, batch.labels))
        losses.append(
            F.binary_cross_entropy_with_logits(output.cell_logits, positive.to(torch.float32))
        )
        found, wanted = output.cell_boxes[positive], boxes[positive]
        losses.append(0.5 * complete_box_iou_loss(found, wanted, reduction="mean"))
    return torch.stack(losses).sum() / len(STRIDES)


@torch.inference_mode()
def held_out_accuracy(model: Labeller, side: int, count: int = 48) -> list[float]:
    """Share of unseen objects that the class head of each stride names rightly.

    The last figure is for the mean of the three strides' log-probabilities.
    """
    model.eval()
    right, total = np.zeros(len(STRIDES) + 1), 0
    for index in range(count):
        image, boxes, labels = draw_sample((HELD_OUT_SEED, index), side)
        votes = [o.class_logits.log_softmax(dim=-1) for o in model(image[None], [boxes])]
        votes.append(torch.stack(votes).mean(dim=0))
        right += [int((vote.argmax(dim=-1) == labels).sum()) for vote in votes]
        total += len(labels)
    model.train()
    return (right / total).tolist()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows (N, classes) whose largest entry is at the label."""
    return (logits.argmax(dim=-1) == labels).float().mean().item()


def learning_rate(settings: Settings, step: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def build_optimizer(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW that decays convolution weights only."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def train(settings: Settings, state_path: Path, report_every: int = 100) -> dict[str, Any]:
    """Train, or go on from the state file; return the state at the end."""
    torch.manual_seed(settings.seed)
    model = Labeller(settings.adapter_channels).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, settings)
    first, seconds = 0, 0.0
    state: dict[str, Any] = {}
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, seconds = state["step"], state["seconds"]
        log.info("going on from step %d", first)
    loader = DataLoader(Batches(settings, first), batch_size=None, num_workers=1, prefetch_factor=3)
    started = time.monotonic() - seconds
    losses: list[float] = []
    right: list[list[float]] = []
    for step, batch in enumerate(loader, start=first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        images = batch.images.contiguous(memory_format=torch.channels_last)
        outputs = model(images, batch.boxes_xyxy)
        loss = batch_loss(outputs, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
        right.append([100.0 * accuracy(o.class_logits, batch.labels) for o in outputs])
        done = step + 1
        if done % 10 == 0:
            log.info(
                "step %d/%d  loss %.3f  right at each stride %s %%  %.0f s",
                *(
                    done,
                    settings.steps,
                    np.mean(losses[-10:]),
                    np.mean(right[-10:], axis=0).round(),
                ),
                time.monotonic() - started,
            )
        if done % report_every == 0 or done == settings.steps:
            held_out = held_out_accuracy(model, settings.held_out_side)
            log.info("held-out accuracy by stride and joint: %s", np.round(held_out, 3))
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": done,
                "seconds": time.monotonic() - started,
                "held_out_accuracy": held_out,
                "loss": float(np.mean(losses[-report_every:])),
            }
            state_path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, state_path.with_suffix(".part"))
            state_path.with_suffix(".part").replace(state_path)
    return state


def export(state: dict[str, Any], settings: Settings, output: Path) -> None:
    """Write backbone and adapters in half precision, refusing values that it cannot hold."""
    half: dict[str, dict[str, Tensor]] = {"backbone": {}, "adapters": {}}
    for key, value in state["model"].items():
        part, _, name = key.partition(".")
        if part in half:
            half[part][name] = to_half(key, value)
    meta = {
        "epoch": 1,
        "iter": state["step"],
        "settings": asdict(settings),
        "seconds": round(state["seconds"]),
        "held_out_accuracy": [round(figure, 4) for figure in state["held_out_accuracy"]],
        "loss": round(state["loss"], 4),
        "dataset": "generated shapes: " + ", ".join(CLASS_NAMES),
    }
    content = {
        "meta": meta,
        "state_dict": half["backbone"],
        "adapter_state_dict": half["adapters"],
    }
    torch.save(content, output)
    log.info("wrote %s, %.1f MB", output, output.stat().st_size / 1e6)


def to_half(key: str, value: Tensor) -> Tensor:
    """The tensor as float16, contiguous; counters stay integers."""
    if not value.is_floating_point():
        return value.clone()
    half = value.half().contiguous()
    if not half.isfinite().all():
        raise ValueError(f"{key} has values that half precision cannot hold")
    if key.endswith("running_var") and (half <= 0).any():
        raise ValueError(f"{key} has variances that half precision rounds to zero")
    return half


def main() -> None:
    """Train by the command line's settings, then export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("data/demo_backbone_mmdet.pth"))
    parser.add_argument("--state", type=Path, default=Path("runs/demo_backbone_state.pth"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    settings = Settings()
    export(train(settings, options.state), settings, options.output)


if __name__ == "__main__":
    main()
