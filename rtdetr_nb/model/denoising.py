"""Contrastive denoising queries for training.

Source: Zhang et al., "DINO: DETR with Improved DeNoising Anchor Boxes" (ICLR 2023), section 3.3:
each ground-truth box appears in several groups, once slightly shifted (to be found again) and
once shifted further (to be rejected).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtdetr_nb.boxes import cxcywh_to_xyxy, inverse_sigmoid, xyxy_to_cxcywh


@dataclass(frozen=True)
class DenoisingSettings:
    """How many denoising queries there are, and how far they are from the truth.

    Attributes:
        num_denoising: pairs of queries to aim at for the image with the most boxes; 0 switches
            denoising off.
        label_noise_ratio: twice the share of labels that are drawn anew.
        box_noise_scale: 1.0 shifts each corner by up to half a box side (positives), or from
            half a side to a whole one (negatives).
    """

    num_denoising: int
    label_noise_ratio: float
    box_noise_scale: float


@dataclass(frozen=True)
class DenoisingQueries:
    """What the decoder needs to run denoising queries before its own.

    Attributes:
        content: (B, D, C) embedded, partly wrong, class labels.
        boxes_logit: (B, D, 4) shifted boxes cxcywh as logits.
        attention_mask: (D, D + Q), True where the row may look at the column. The decoder's own
            queries look at each other only.
        positive_index: for each image the positions, among the D, of the slightly shifted queries:
            group after group, ground-truth box after ground-truth box.
        num_groups: how often each ground-truth box appears.
    """

    content: Tensor
    boxes_logit: Tensor
    attention_mask: Tensor
    positive_index: tuple[Tensor, ...]
    num_groups: int

    @property
    def num_queries(self) -> int:
        """D, the number of denoising queries of an image, padding included."""
        return self.content.shape[1]


def make_denoising_queries(
    targets: Sequence[Mapping[str, Tensor]],
    class_embed: nn.Embedding,
    num_queries: int,
    settings: DenoisingSettings,
) -> DenoisingQueries:
    """Draw the denoising queries of a batch (from torch's global random generator).

    Args:
        targets: for each image `labels` (n,) int64 and `boxes` (n, 4) cxcywh in 0..1.
        class_embed: embedding of num_classes + 1 labels, the last of them for padding.
        num_queries: the decoder's own queries, Q.
        settings: how many, and how far from the truth.
    """
    counts = [len(target["labels"]) for target in targets]
    # A batch without any box still gets one slot of padding, which the losses take for background:
    # under distributed training every rank must run the same parameters.
    num_slots = max(max(counts), 1)
    num_groups = max(settings.num_denoising // num_slots, 1) if any(counts) else 1
    labels, boxes, is_real = _pad(targets, num_slots, padding_label=class_embed.num_embeddings - 1)
    # Queries are laid out group by group, each with its positives and then its negatives.
    repeats = 2 * num_groups
    labels, is_real = labels.tile(1, repeats), is_real.tile(1, repeats)
    boxes = boxes.tile(1, repeats, 1)
    slot = torch.arange(num_slots * repeats, device=boxes.device) // num_slots
    is_negative = slot % 2 == 1

    num_classes = class_embed.num_embeddings - 1
    labels = _noisy_labels(labels, is_real, num_classes, settings.label_noise_ratio)
    noisy_boxes = _noisy_boxes(boxes, is_negative, settings.box_noise_scale)
    return DenoisingQueries(
        content=class_embed(labels),
        boxes_logit=inverse_sigmoid(noisy_boxes),
        attention_mask=_attention_mask(slot // 2, num_queries),
        positive_index=tuple(
            _positive_index(count, num_slots, num_groups, boxes.device) for count in counts
        ),
        num_groups=num_groups,
    )


def _pad(
    targets: Sequence[Mapping[str, Tensor]], num_slots: int, padding_label: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (B, S), boxes (B, S, 4) and whether a slot holds a real box (B, S)."""
    first = targets[0]
    shape = (len(targets), num_slots)
    labels = first["labels"].new_full(shape, padding_label)
    boxes = first["boxes"].new_zeros(*shape, 4)
    is_real = torch.zeros(shape, dtype=torch.bool, device=boxes.device)
    for i, target in enumerate(targets):
        count = len(target["labels"])
        labels[i, :count] = target["labels"]
        boxes[i, :count] = target["boxes"]
        is_real[i, :count] = True
    if not any(len(target["labels"]) for target in targets):
        # Parity: the padding query of a batch without boxes is a small box in the middle.
        boxes[:] = boxes.new_tensor([0.5, 0.5, 0.1, 0.1])
    return labels, boxes, is_real


def _positive_index(count: int, num_slots: int, num_groups: int, device: torch.device) -> Tensor:
    """Positions of the positives of an image with `count` boxes, group after group.

    Counted instead of searched for: a search would make the host wait for the device.
    """
    group_start = torch.arange(num_groups, device=device) * (2 * num_slots)
    return (group_start[:, None] + torch.arange(count, device=device)).flatten()


def _noisy_labels(labels: Tensor, is_real: Tensor, num_classes: int, ratio: float) -> Tensor:
    if ratio <= 0:
        return labels
    redraw = torch.rand(labels.shape, device=labels.device) < 0.5 * ratio
    drawn = torch.randint(0, num_classes, labels.shape, device=labels.device)
    return torch.where(redraw & is_real, drawn, labels)


def _noisy_boxes(boxes_cxcywh: Tensor, is_negative: Tensor, scale: float) -> Tensor:
    """Shift each corner coordinate by 0..1 (positive) or 1..2 (negative) half box sides."""
    if scale <= 0:
        return boxes_cxcywh
    half_side = 0.5 * boxes_cxcywh[..., 2:].tile(1, 1, 2)
    sign = torch.randint_like(boxes_cxcywh, 0, 2) * 2 - 1
    distance = torch.rand_like(boxes_cxcywh) + is_negative[None, :, None]
    shifted = cxcywh_to_xyxy(boxes_cxcywh) + sign * distance * half_side * scale
    return xyxy_to_cxcywh(shifted.clamp(0, 1))


def _attention_mask(group: Tensor, num_queries: int) -> Tensor:
    """Groups see themselves and the decoder's own queries."""
    own = torch.ones(len(group), num_queries, dtype=torch.bool, device=group.device)
    return torch.cat([group[:, None] == group, own], dim=1)
