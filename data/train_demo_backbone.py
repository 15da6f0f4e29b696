"""Train the demo backbone and write it in the layout of a distillation trainer's export.

An HGNetv2-L learns dense labels on pictures that `rtdetr_nb.datasets.shapes` draws as it goes, none
of them in the sample of `data/shapes`. On each of the three maps that a detector uses, an adapter
(a 1x1 convolution, as distillation trainers put between student and teacher) feeds a head that says
for every cell which class it belongs to and where that object's box ends:

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
from torchvision.ops import complete_box_iou_loss

from rtdetr_nb.datasets.shapes import CLASS_NAMES, JPEG_QUALITY, draw_picture
from rtdetr_nb.model.hgnetv2 import HGNetv2

log = logging.getLogger("train_demo_backbone")
STRIDES = (8, 16, 32)
# The first number of a picture's seed. The sample's seeds are (0, split, index).
TRAINING_SEED, HELD_OUT_SEED = 71_001, 71_002


@dataclass(frozen=True)
class Settings:
    """What is written into the file's `meta`.

    The first `small_share` of the steps sees `batch_size` pictures of `small_side` pixels, the rest
    as many pixels in fewer pictures of `large_side`, nearer to how the backbone is used.
    """

    steps: int = 1500
    batch_size: int = 24
    small_side: int = 96
    large_side: int = 192
    small_share: float = 0.8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup_steps: int = 60
    adapter_channels: int = 128
    held_out_side: int = 256
    seed: int = 0


class DenseLabeller(nn.Module):
    """Backbone, adapters and heads; the heads are thrown away after the training."""

    def __init__(self, adapter_channels: int) -> None:
        super().__init__()
        self.backbone = HGNetv2("L", freeze_at=-1, freeze_norm=False)
        self.adapters = nn.ModuleList(
            nn.Conv2d(channels, adapter_channels, 1) for channels in self.backbone.out_channels
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(adapter_channels, 1 + len(CLASS_NAMES) + 4, 1) for _ in STRIDES
        )

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Map (B, 3, H, W) to (logits, boxes) for each stride s.

        Logits are (B, H/s * W/s, 1 + classes), the ground first. Boxes are (B, H/s * W/s, 4), xyxy
        in pixels.
        """
        outputs = []
        maps = self.backbone(images)
        for x, adapter, head, stride in zip(maps, self.adapters, self.heads, STRIDES, strict=True):
            y = head(F.relu(adapter(x))).flatten(2).transpose(1, 2)  # (B, cells, 1 + classes + 4)
            logits, distances = y.split([1 + len(CLASS_NAMES), 4], dim=-1)
            distances = distances.clamp(-4.0, 4.0).exp() * stride  # to the four sides, in pixels
            centres = cell_centres(x.shape[-2:], stride)
            boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
            outputs.append((logits, boxes))
        return outputs


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


def draw_sample(seed: tuple[int, ...], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """One picture as the sample's look after resizing: (3, side, side) in 0..1, boxes, labels."""
    scale = np.random.default_rng((*seed, 1)).uniform(1.0, 1.5)
    drawn_side = round(side * scale)
    picture = draw_picture(seed, size_hw=(drawn_side, drawn_side))
    buffer = io.BytesIO()
    Image.fromarray(picture.image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    image = Image.open(buffer).resize((side, side), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255.0
    boxes = torch.from_numpy(picture.boxes_xyxy) * (side / drawn_side)
    return pixels, boxes, torch.from_numpy(picture.labels)


Batch = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]


class Batches(IterableDataset[Batch]):
    """The batches of steps `first` and on: images, and per stride labels, boxes and positives."""

    def __init__(self, settings: Settings, first: int) -> None:
        super().__init__()
        self.settings, self.first = settings, first

    def __iter__(self) -> Iterator[Batch]:
        """Yield this worker's share, in the order of the steps."""
        torch.set_num_threads(1)
        for step in range(self.first, self.settings.steps):
            side, count = batch_shape(self.settings, step)
            yield make_batch([(TRAINING_SEED, step, index) for index in range(count)], side)


def batch_shape(settings: Settings, step: int) -> tuple[int, int]:
    """Side in pixels and number of pictures of a step."""
    if step < settings.small_share * settings.steps:
        return settings.small_side, settings.batch_size
    area_ratio = (settings.large_side / settings.small_side) ** 2
    return settings.large_side, max(int(settings.batch_size / area_ratio), 1)


def make_batch(seeds: list[tuple[int, ...]], side: int) -> Batch:
    """Draw pictures and lay their labels out on the cells of each stride.

    Returns:
        images (B, 3, side, side), and for each stride: labels (B, cells) with 0 for the ground,
        boxes (B, cells, 4) of the object that a cell belongs to, and which cells have one.
    """
    samples = [draw_sample(seed, side) for seed in seeds]
    labels, boxes, positives = [], [], []
    for stride in STRIDES:
        owners = torch.stack([assign_cells(sample[1], side, stride) for sample in samples])
        # One row more, which the index -1 of the ground picks.
        rows = [F.pad(sample[1], (0, 0, 0, 1)) for sample in samples]
        classes = [F.pad(sample[2] + 1, (0, 1)) for sample in samples]
        boxes.append(torch.stack([row[owner] for row, owner in zip(rows, owners, strict=True)]))
        labels.append(torch.stack([row[owner] for row, owner in zip(classes, owners, strict=True)]))
        positives.append(owners >= 0)
    return torch.stack([sample[0] for sample in samples]), labels, boxes, positives


def dense_loss(outputs: list[tuple[Tensor, Tensor]], batch: Batch) -> Tensor:
    """Classification (ground and objects weigh the same) plus box overlap, over the strides."""
    total = torch.zeros(())
    for (logits, boxes), labels, wanted, positive in zip(outputs, *batch[1:], strict=True):
        entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        objects, ground = entropy[positive.flatten()], entropy[~positive.flatten()]
        total = total + objects.mean() + ground.mean()
        total = total + complete_box_iou_loss(boxes[positive], wanted[positive], reduction="mean")
    return total / len(STRIDES)


@torch.inference_mode()
def held_out_accuracy(model: DenseLabeller, side: int, count: int = 64) -> list[float]:
    """Share of unseen objects whose class wins at the cell of their centre, for each stride.

    The last figure is for the mean of the three strides' log-probabilities.
    """
    model.eval()
    right, total = np.zeros(len(STRIDES) + 1), 0
    for index in range(count):
        image, boxes, labels = draw_sample((HELD_OUT_SEED, index), side)
        votes = []
        for (logits, _), stride in zip(model(image[None]), STRIDES, strict=True):
            column, row = ((boxes[:, :2] + boxes[:, 2:]) / 2 / stride).long().unbind(dim=1)
            votes.append(logits[0, row * (side // stride) + column, 1:].log_softmax(dim=-1))
        votes.append(torch.stack(votes).mean(dim=0))
        right += [int((vote.argmax(dim=-1) == labels).sum()) for vote in votes]
        total += len(labels)
    model.train()
    return (right / total).tolist()


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
    model = DenseLabeller(settings.adapter_channels).to(memory_format=torch.channels_last)
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
    for step, batch in enumerate(loader, start=first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        loss = dense_loss(model(batch[0].contiguous(memory_format=torch.channels_last)), batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
        done = step + 1
        if done % 10 == 0:
            spent = time.monotonic() - started
            log.info("step %d/%d  loss %.3f  %.0f s", done, settings.steps, losses[-1], spent)
        if done % report_every == 0 or done == settings.steps:
            accuracy = held_out_accuracy(model, settings.held_out_side)
            log.info("held-out accuracy by stride and joint: %s", np.round(accuracy, 3))
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": done,
                "seconds": time.monotonic() - started,
                "held_out_accuracy": accuracy,
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
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--batch-size", type=int, default=Settings.batch_size)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    settings = Settings(steps=options.steps, batch_size=options.batch_size)
    export(train(settings, options.state), settings, options.output)


if __name__ == "__main__":
    main()
