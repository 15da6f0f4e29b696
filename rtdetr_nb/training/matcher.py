"""Which prediction answers for which ground-truth box.

Source: Carion et al., "End-to-End Object Detection with Transformers" (ECCV 2020), section 3.1,
with the focal class cost of Deformable DETR (Zhu et al., ICLR 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from rtdetr_nb.boxes import cxcywh_to_xyxy, iou_and_giou

Targets = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Matches:
    """P matched pairs, over the layers and images of a batch; four index tensors (P,) int64.

    `target` counts within the targets of all images joined in order.
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    target: Tensor

    def on_layers(self, layers: Sequence[int]) -> "Matches":
        """The matches of layer 0, repeated for each of the given layers."""
        only = self.layer == 0
        repeats = len(layers)
        layer = torch.tensor(layers, device=self.layer.device).repeat_interleave(int(only.sum()))
        return Matches(
            layer,
            self.image[only].repeat(repeats),
            self.query[only].repeat(repeats),
            self.target[only].repeat(repeats),
        )


@dataclass(frozen=True)
class HungarianMatcher:
    """The cheapest one-to-one assignment of queries to ground-truth boxes, layer by layer.

    Attributes:
        cost_class: weight of the class cost.
        cost_bbox: weight of the L1 distance of boxes cxcywh.
        cost_giou: weight of the negative generalised IoU.
        use_focal_loss: classes are independent sigmoids; else a softmax.
        alpha: focal balance between "is this class" and "is not".
        gamma: focal exponent.
    """

    cost_class: float
    cost_bbox: float
    cost_giou: float
    use_focal_loss: bool = True
    alpha: float = 0.25
    gamma: float = 2.0

    @torch.no_grad()
    def __call__(self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets) -> Matches:
        """Match all layers of a batch.

        Costs of all layers go to the CPU in one transfer, images padded to the most boxes.

        Args:
            logits: (L, B, Q, C).
            boxes_cxcywh: (L, B, Q, 4).
            targets: for each image `labels` (n,) and `boxes` (n, 4) cxcywh.

        Returns:
            For each layer and image min(Q, n) pairs.
        """
        counts = [len(target["labels"]) for target in targets]
        device = logits.device
        if not any(counts):
            empty = torch.zeros(0, dtype=torch.int64, device=device)
            return Matches(empty, empty, empty, empty)
        costs = self._costs(logits, boxes_cxcywh, targets, max(counts))
        # A prediction that is not a number must not stop the matching: the loss reports it.
        table = torch.nan_to_num(costs, nan=1e9, posinf=1e9, neginf=-1e9).cpu().numpy()
        first_target = np.cumsum([0, *counts])
        rows = []
        for layer in range(len(table)):
            for image, count in enumerate(counts):
                query, target = linear_sum_assignment(table[layer, image, :, :count])
                where = np.full_like(query, layer), np.full_like(query, image)
                rows.append(np.stack([*where, query, target + first_target[image]]))
        layer, image, query, target = torch.from_numpy(np.concatenate(rows, axis=1)).to(device)
        return Matches(layer, image, query, target)

    def _costs(
        self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets, num_slots: int
    ) -> Tensor:
        """Costs (L, B, Q, S) against the targets padded to S; padding costs mean nothing."""
        B = logits.shape[1]
        labels = torch.zeros(B, num_slots, dtype=torch.int64, device=logits.device)
        target_boxes = boxes_cxcywh.new_zeros(B, num_slots, 4)
        for i, target in enumerate(targets):
            labels[i, : len(target["labels"])] = target["labels"]
            target_boxes[i, : len(target["boxes"])] = target["boxes"]
        if self.use_focal_loss:
            cost_class = self._focal_cost(_of_labels(logits.sigmoid(), labels))
        else:
            cost_class = -_of_labels(logits.softmax(dim=-1), labels)
        # (L, B, Q, 1, 4) against (B, 1, S, 4)
        boxes, others = boxes_cxcywh[..., :, None, :], target_boxes[:, None, :, :]
        cost_bbox = (boxes - others).abs().sum(dim=-1)
        _, giou = iou_and_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(others))
        return self.cost_bbox * cost_bbox + self.cost_class * cost_class - self.cost_giou * giou

    def _focal_cost(self, probability: Tensor) -> Tensor:
        positive = self.alpha * (1 - probability) ** self.gamma * -(probability + 1e-8).log()
        negative = (1 - self.alpha) * probability**self.gamma * -(1 - probability + 1e-8).log()
        return positive - negative


def _of_labels(scores: Tensor, labels: Tensor) -> Tensor:
    """Scores (L, B, Q, C) of labels (B, S): (L, B, Q, S)."""
    L, _, Q, _ = scores.shape
    return scores.gather(-1, labels[None, :, None, :].expand(L, -1, Q, -1))
