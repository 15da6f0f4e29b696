"""Which prediction answers for which ground-truth box.

Source: Carion et al., "End-to-End Object Detection with Transformers" (ECCV 2020), section 3.1,
with the focal class cost of Deformable DETR (Zhu et al., ICLR 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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

    def on_layers(self, num_layers: int) -> "Matches":
        """Matches of one layer, the same again for each of `num_layers`."""
        pairs = len(self.query)  # known here: nothing has to be asked of the device
        layer = torch.arange(num_layers, device=self.query.device)[:, None].expand(-1, pairs)
        return Matches(
            layer.flatten(),
            self.image.repeat(num_layers),
            self.query.repeat(num_layers),
            self.target.repeat(num_layers),
        )


class Predictions(NamedTuple):
    """What is matched: L layers of predictions for one batch, and its ground truth.

    Attributes:
        logits: (L, B, Q, C).
        boxes_cxcywh: (L, B, Q, 4).
        targets: for each image `labels` (n,) and `boxes` (n, 4) cxcywh.
    """

    logits: Tensor
    boxes_cxcywh: Tensor
    targets: Targets


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
    use_focal_loss: bool
    alpha: float
    gamma: float

    def __call__(self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets) -> Matches:
        """Match all layers of a batch; see `Predictions` for the arguments.

        Returns:
            For each layer and image min(Q, n) pairs.
        """
        return self.match_all([Predictions(logits, boxes_cxcywh, targets)])[0]

    @torch.no_grad()
    def match_all(self, groups: Sequence[Predictions]) -> list[Matches]:
        """Match several groups of layers, those of the decoder and of the encoder for example.

        The host waits for the device once: the costs of all groups, images padded to the most
        boxes, come in one transfer, and the pairs of all groups go back in another.

        Returns:
            For each group the pairs of each of its layers and images.
        """
        tables = self._cost_tables(groups)
        pairs = [
            _cheapest_pairs(table, [len(target["labels"]) for target in group.targets])
            for table, group in zip(tables, groups, strict=True)
        ]
        device = groups[0].logits.device
        found = torch.from_numpy(np.concatenate(pairs, axis=1)).to(device)
        split = found.split([part.shape[1] for part in pairs], dim=1)
        return [Matches(*part) for part in split]

    def _cost_tables(self, groups: Sequence[Predictions]) -> list[np.ndarray]:
        """Costs (L, B, Q, S) of each group, on the host."""
        most = max(len(target["labels"]) for group in groups for target in group.targets)
        if most == 0:
            return [np.zeros((*group.logits.shape[:3], 0)) for group in groups]
        costs = [self._costs(g.logits, g.boxes_cxcywh, g.targets, most) for g in groups]
        joined = torch.cat([cost.flatten() for cost in costs])
        # A prediction that is not a number must not stop the matching: the loss reports it.
        joined = torch.nan_to_num(joined, nan=1e9, posinf=1e9, neginf=-1e9).cpu().numpy()
        ends = np.cumsum([cost.numel() for cost in costs])[:-1]
        parts = np.split(joined, ends)
        return [part.reshape(cost.shape) for part, cost in zip(parts, costs, strict=True)]

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


def _cheapest_pairs(table: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Pairs (4, P), rows layer, image, query and target, of costs (L, B, Q, S)."""
    first_target = np.cumsum([0, *counts])
    rows = [np.zeros((4, 0), dtype=np.int64)]
    for layer in range(len(table)):
        for image, count in enumerate(counts):
            query, target = linear_sum_assignment(table[layer, image, :, :count])
            where = np.full_like(query, layer), np.full_like(query, image)
            rows.append(np.stack([*where, query, target + first_target[image]]))
    return np.concatenate(rows, axis=1)


def _of_labels(scores: Tensor, labels: Tensor) -> Tensor:
    """Scores (L, B, Q, C) of labels (B, S): (L, B, Q, S)."""
    L, _, Q, _ = scores.shape
    return scores.gather(-1, labels[None, :, None, :].expand(L, -1, Q, -1))
