"""Trains a detection head on kept features for some hundred steps."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.optim import AdamW
from torchvision.ops import sigmoid_focal_loss

from rtdetr_nb.boxes import iou_and_giou
from rtdetr_nb.diagnostics.detection.assignment import NO_BOX, Positions, assign, lay_out
from rtdetr_nb.diagnostics.detection.features import Features
from rtdetr_nb.diagnostics.detection.head import DetectionHead, to_boxes, to_detections
from rtdetr_nb.diagnostics.detection.pictures import Detections, Pictures
from rtdetr_nb.errors import TrainingError

_BATCH = 8
_PEAK_RATE = 4e-3
_WARMUP_SHARE = 0.1
_WEIGHT_DECAY = 0.05
_LARGEST_GRADIENT = 10.0  # norm of all gradients
_BOX_WEIGHT = 2.0  # of the GIoU loss beside the focal loss


@dataclass(frozen=True)
class FitOptions:
    """How a head is trained.

    Attributes:
        steps: optimizer updates.
        image_size: of the pictures, in pixels.
        labels: of the classes that are learnt, growing; the head numbers them by their places.
        seed: of the head and of the order of pictures.
        device: where it is trained.
        looks: how often on the way the detections are asked for.
    """

    steps: int
    image_size: int
    labels: tuple[int, ...]
    seed: int
    device: torch.device
    looks: int = 5


@dataclass(frozen=True)
class Look:
    """What a head finds on the validation pictures after some steps.

    Attributes:
        step: optimizer updates so far.
        loss: mean over the steps since the last look.
        found: one entry a picture.
    """

    step: int
    loss: float
    found: list[Detections]


def fit_head(
    train: Features,
    val: Features,
    pictures: Pictures,
    options: FitOptions,
    on_step: Callable[[], None] = lambda: None,
) -> Iterator[Look]:
    """Train a head, and yield what it finds now and then and at the end.

    Args:
        train: features of `pictures`.
        val: features of the pictures that are looked at.
        pictures: whose boxes are learnt.
        options: how.
        on_step: called after each step.

    Raises:
        TrainingError: the loss is not finite.
    """
    strides = [options.image_size // level.shape[-1] for level in train.levels]
    positions = lay_out(strides, options.image_size)
    wanted = [assign(positions, boxes) for boxes in pictures.boxes_xyxy]
    positions = _on(positions, options.device)
    head = _seeded_head(train, options)
    optimizer = AdamW(head.parameters(), lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
    looks = {max(1, round(options.steps * (i + 1) / options.looks)) for i in range(options.looks)}
    losses: list[float] = []
    for step, batch in enumerate(_batches(len(train), options), start=1):
        logits, sides = head(_taken(train, batch, options.device))
        labels, boxes = _targets(pictures, wanted, batch, options)
        loss = detection_loss(logits, sides, positions, labels, boxes)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"The loss of the head is not finite at step {step}.")
        _update(optimizer, loss, _PEAK_RATE * rate_at(step, options.steps))
        on_step()
        if step in looks:
            yield Look(step, sum(losses) / len(losses), _detect(head, val, positions, options))
            losses.clear()


def _seeded_head(features: Features, options: FitOptions) -> DetectionHead:
    channels, levels = features.levels[0].shape[1], len(features.levels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(options.seed)
        head = DetectionHead(channels, len(options.labels), levels)
    # Convolutions of so few channels are a third faster in this format.
    head.to(options.device)
    return head.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def _update(optimizer: AdamW, loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
    optimizer.step()


def rate_at(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step from 1: linear growth, then half a cosine."""
    warmup = max(1, round(steps * _WARMUP_SHARE))
    if step <= warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def detection_loss(
    logits: Tensor,
    sides: Tensor,
    positions: Positions,
    labels: Tensor,
    boxes_xyxy: Tensor,
) -> Tensor:
    """Focal loss of all positions plus GIoU loss of those with a box, by the number of these.

    Args:
        logits: (B, P, C).
        sides: (B, P, 4), distances in strides.
        positions: P of them.
        labels: (B, P), `NO_BOX` where no box is.
        boxes_xyxy: (B, P, 4) in pixels, of the positions with a box.
    """
    has_box = labels != NO_BOX
    target = torch.zeros_like(logits)
    target[(*has_box.nonzero(as_tuple=True), labels[has_box])] = 1.0
    count = has_box.sum().clamp(min=1)
    focal = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0, reduction="sum")
    boxes = to_boxes(positions, sides)[has_box]
    _, giou = iou_and_giou(boxes, boxes_xyxy[has_box])
    return (focal + _BOX_WEIGHT * (1 - giou).sum()) / count


def _targets(
    pictures: Pictures, wanted: Sequence[Tensor], batch: Tensor, options: FitOptions
) -> tuple[Tensor, Tensor]:
    """Numbers of classes (B, P) and boxes (B, P, 4) that the positions answer for."""
    known = torch.tensor(options.labels)
    labels, boxes = [], []
    for index in batch.tolist():
        box = wanted[index]
        has_box = box != NO_BOX
        own = torch.full(box.shape, NO_BOX)
        own[has_box] = torch.searchsorted(known, pictures.labels[index][box[has_box]])
        labels.append(own)
        sides = torch.zeros(len(box), 4)
        sides[has_box] = pictures.boxes_xyxy[index][box[has_box]]
        boxes.append(sides)
    return torch.stack(labels).to(options.device), torch.stack(boxes).to(options.device)


def _batches(count: int, options: FitOptions) -> Iterator[Tensor]:
    """Indices for each step: all pictures once in a new order, again and again."""
    generator = torch.Generator().manual_seed(options.seed)
    queue = torch.empty(0, dtype=torch.int64)
    size = min(_BATCH, count)
    for _ in range(options.steps):
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator)])
        batch, queue = queue[:size], queue[size:]
        yield batch


@torch.no_grad()
def _detect(
    head: DetectionHead, features: Features, positions: Positions, options: FitOptions
) -> list[Detections]:
    known = torch.tensor(options.labels)
    found = []
    for indices in torch.arange(len(features)).split(_BATCH):
        logits, sides = head(_taken(features, indices, options.device))
        boxes = to_boxes(positions, sides).cpu()
        for own_logits, own_boxes in zip(logits.cpu(), boxes, strict=True):
            numbered = to_detections(own_logits, own_boxes, options.image_size)
            found.append(replace(numbered, labels=known[numbered.labels]))
    return found


def _taken(features: Features, indices: Tensor, device: torch.device) -> list[Tensor]:
    """The maps of some pictures where the head is, in its memory format."""
    return [
        level.to(device).contiguous(memory_format=torch.channels_last)
        for level in features.take(indices)
    ]


def _on(positions: Positions, device: torch.device) -> Positions:
    return Positions(
        positions.centers_xy.to(device), positions.strides.to(device), positions.reach.to(device)
    )
