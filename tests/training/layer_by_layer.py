"""The training losses one layer, one image at a time, written from the papers' formulas.

Slow and plain on purpose: it shares nothing with the batched criterion but the names of the losses.
Boxes are compared by torchvision's pairwise tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert, box_iou, generalized_box_iou

Pairs = list[tuple[Tensor, Tensor]]  # for each image: queries, and the boxes they answer for
Targets = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Settings:
    """What the criterion and the matcher are configured with."""

    classification: str = "vfl"
    boxes_weight_format: str | None = None
    share_matched_indices: bool = False
    alpha: float = 0.75
    gamma: float = 2.0
    cost_class: float = 2.0
    cost_bbox: float = 5.0
    cost_giou: float = 2.0
    matcher_alpha: float = 0.25
    matcher_gamma: float = 2.0
    loss_class_weight: float = 1.0
    loss_bbox_weight: float = 5.0
    loss_giou_weight: float = 2.0


def corners(boxes: Tensor) -> Tensor:
    return box_convert(boxes, "cxcywh", "xyxy")


def cost_table(logits: Tensor, boxes: Tensor, target: Mapping[str, Tensor], s: Settings) -> Tensor:
    """Costs (Q, n) of one image."""
    p = logits.sigmoid()[:, target["labels"]]
    is_class = -s.matcher_alpha * (1 - p) ** s.matcher_gamma * (p + 1e-8).log()
    is_not = -(1 - s.matcher_alpha) * p**s.matcher_gamma * (1 - p + 1e-8).log()
    distance = torch.cdist(boxes, target["boxes"], p=1)
    giou = generalized_box_iou(corners(boxes), corners(target["boxes"]))
    return s.cost_class * (is_class - is_not) + s.cost_bbox * distance - s.cost_giou * giou


def match(layer: Mapping[str, Tensor], targets: Targets, s: Settings) -> Pairs:
    pairs = []
    for logits, boxes, target in zip(
        layer["pred_logits"].detach(), layer["pred_boxes"].detach(), targets, strict=True
    ):
        rows, columns = linear_sum_assignment(cost_table(logits, boxes, target, s).numpy())
        pairs.append((torch.from_numpy(rows), torch.from_numpy(columns)))
    return pairs


def layer_losses(
    layer: Mapping[str, Tensor], targets: Targets, pairs: Pairs, divisor: float, s: Settings
) -> dict[str, Tensor]:
    """Weighted losses of one layer."""
    sums = {"class": torch.zeros(()), "bbox": torch.zeros(()), "giou": torch.zeros(())}
    for image, (target, (queries, columns)) in enumerate(zip(targets, pairs, strict=True)):
        logits, boxes = layer["pred_logits"][image], layer["pred_boxes"][image]
        matched, wanted = boxes[queries], target["boxes"][columns]
        iou = box_iou(corners(matched), corners(wanted)).diag()
        giou = generalized_box_iou(corners(matched), corners(wanted)).diag()
        quality = (giou if s.boxes_weight_format == "giou" else iou).detach()
        weight = quality if s.boxes_weight_format else torch.ones_like(quality)
        is_pair = torch.zeros_like(logits)
        is_pair[queries, target["labels"][columns]] = 1
        score = torch.zeros_like(logits)
        score[queries, target["labels"][columns]] = quality
        sums["class"] = sums["class"] + classification(logits, is_pair, score, s)
        sums["bbox"] = sums["bbox"] + (matched - wanted).abs().sum()
        sums["giou"] = sums["giou"] + ((1 - giou) * weight).sum()
    return {
        f"loss_{s.classification}": s.loss_class_weight * sums["class"] / divisor,
        "loss_bbox": s.loss_bbox_weight * sums["bbox"] / divisor,
        "loss_giou": s.loss_giou_weight * sums["giou"] / divisor,
    }


def classification(logits: Tensor, is_pair: Tensor, score: Tensor, s: Settings) -> Tensor:
    p = logits.sigmoid()
    if s.classification == "focal":
        right = p * is_pair + (1 - p) * (1 - is_pair)
        balance = s.alpha * is_pair + (1 - s.alpha) * (1 - is_pair)
        return -(balance * (1 - right) ** s.gamma * right.log()).sum()
    # VarifocalNet, equation 2: q is the quality of the pair, and 0 elsewhere.
    cross_entropy = -(score * p.log() + (1 - score) * (1 - p).log())
    constant = p.detach() ** s.gamma
    weight = torch.where(is_pair > 0, score, s.alpha * constant)
    return (weight * cross_entropy).sum()


def all_losses(outputs: Mapping[str, Any], targets: Targets, s: Settings) -> dict[str, Tensor]:
    """Every loss under its official name."""
    num_boxes = float(max(sum(len(target["labels"]) for target in targets), 1))
    losses = {}

    def add(layer: Mapping[str, Tensor], suffix: str, pairs: Pairs, divisor: float, to: Targets):
        for name, value in layer_losses(layer, to, pairs, divisor, s).items():
            losses[name + suffix] = value

    last_pairs = match(outputs, targets, s)
    add(outputs, "", last_pairs, num_boxes, targets)
    for i, layer in enumerate(outputs.get("aux_outputs", [])):
        pairs = last_pairs if s.share_matched_indices else match(layer, targets, s)
        add(layer, f"_aux_{i}", pairs, num_boxes, targets)
    for i, layer in enumerate(outputs.get("dn_aux_outputs", [])):
        meta = outputs["dn_meta"]
        pairs = [
            (queries, torch.arange(len(target["labels"])).repeat(meta["dn_num_group"]))
            for queries, target in zip(meta["dn_positive_idx"], targets, strict=True)
        ]
        add(layer, f"_dn_{i}", pairs, num_boxes * meta["dn_num_group"], targets)
    for i, layer in enumerate(outputs.get("enc_aux_outputs", [])):
        known = targets
        if outputs["enc_meta"]["class_agnostic"]:
            known = [{**t, "labels": torch.zeros_like(t["labels"])} for t in targets]
        add(layer, f"_enc_{i}", match(layer, known, s), num_boxes, known)
    return losses
