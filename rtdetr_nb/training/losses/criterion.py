"""The training losses, under their official names.

Sources: varifocal loss, Zhang et al., "VarifocalNet" (CVPR 2021); focal loss, Lin et al. (ICCV
2017); box losses, Carion et al., "End-to-End Object Detection with Transformers" (ECCV 2020).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from rtdetr_nb.boxes import cxcywh_to_xyxy, iou_and_giou
from rtdetr_nb.config.config import Config
from rtdetr_nb.training.losses.matcher import HungarianMatcher, Matches, Predictions, Targets


class Criterion(nn.Module):
    """Compares the outputs of all layers with the targets.

    The layers of one kind (the decoder's, those of denoising, the encoder's selection) are computed
    together, stacked to (L, B, Q, ...); the result is the same as layer by layer.

    Args:
        matcher: assigns queries to ground-truth boxes.
        weight_dict: weight of `loss_vfl` or `loss_focal`, `loss_bbox` and `loss_giou`; a loss
            without a weight is left out.
        losses: of "vfl", "focal" and "boxes".
        alpha: varifocal or focal balance of the negatives.
        gamma: varifocal or focal exponent.
        boxes_weight_format: weight each pair's GIoU loss by its "iou" or "giou", which is then
            also the score that the varifocal loss aims at.
        share_matched_indices: match the last decoder layer only, and use that for all of them.
    """

    def __init__(
        self,
        *,
        matcher: HungarianMatcher,
        weight_dict: Mapping[str, float],
        losses: Sequence[str],
        alpha: float,
        gamma: float,
        boxes_weight_format: str | None,
        share_matched_indices: bool,
    ) -> None:
        super().__init__()
        self.matcher = matcher
        self.weight_dict = dict(weight_dict)
        self.losses = tuple(losses)
        self.alpha = alpha
        self.gamma = gamma
        self.boxes_weight_format = boxes_weight_format
        self.share_matched_indices = share_matched_indices

    def forward(
        self,
        outputs: Mapping[str, Any],
        targets: Targets,
        num_boxes: float | Tensor | None = None,
    ) -> dict[str, Tensor]:
        """All losses, weighted; their sum is what to minimise.

        Args:
            outputs: of the model in training mode (see `RTDETRTransformerv2.forward`).
            targets: for each image `labels` (n,) int64 and `boxes` (n, 4) cxcywh in 0..1.
            num_boxes: what the losses are divided by, as `mean_num_boxes` gives it; by default that
                of these targets. An update of several batches has one number for all of them.

        Returns:
            Scalars: `loss_vfl`, `loss_bbox`, `loss_giou` of the last layer, the same with `_aux_i`
            for the layers before it, `_dn_i` for denoising, `_enc_i` for the selection.
        """
        if num_boxes is None:
            num_boxes = mean_num_boxes(targets, outputs["pred_logits"].device)
        last = {key: outputs[key] for key in ("pred_logits", "pred_boxes")}
        aux = outputs.get("aux_outputs", [])
        decoder = Predictions(*_stack([last, *aux]), targets)
        selection = outputs.get("enc_aux_outputs", [])
        encoder = self._encoder_predictions(outputs, targets) if selection else None
        # One matching for all layers, because each makes the host wait for the device.
        matched = self.matcher.match_all([self._to_match(decoder), *([encoder] if encoder else [])])
        pairs = matched[0]
        if self.share_matched_indices:
            pairs = pairs.on_layers(len(decoder.logits))
        found = self._losses(decoder.logits, decoder.boxes_cxcywh, targets, pairs, num_boxes)
        losses = _named(found, ["", *(f"_aux_{i}" for i in range(len(aux)))])
        if "dn_aux_outputs" in outputs:
            noisy, meta = outputs["dn_aux_outputs"], outputs["dn_meta"]
            known = denoising_matches(meta, targets, num_layers=len(noisy))
            scale = num_boxes * meta["dn_num_group"]
            found = self._losses(*_stack(noisy), targets, known, scale)
            losses |= _named(found, [f"_dn_{i}" for i in range(len(noisy))])
        if encoder:
            logits, boxes, encoder_targets = encoder
            found = self._losses(logits, boxes, encoder_targets, matched[1], num_boxes)
            losses |= _named(found, [f"_enc_{i}" for i in range(len(selection))])
        return losses

    def _to_match(self, decoder: Predictions) -> Predictions:
        """The layers that are matched: all, or the last alone, which is stacked first."""
        if not self.share_matched_indices:
            return decoder
        return Predictions(decoder.logits[:1], decoder.boxes_cxcywh[:1], decoder.targets)

    def _encoder_predictions(self, outputs: Mapping[str, Any], targets: Targets) -> Predictions:
        if outputs["enc_meta"]["class_agnostic"]:
            # One score that knows no class: every box is of class 0, for the matching as for the
            # loss. (The official code matches with the real labels, which fails.)
            targets = [{**t, "labels": torch.zeros_like(t["labels"])} for t in targets]
        return Predictions(*_stack(outputs["enc_aux_outputs"]), targets)

    def _losses(
        self,
        logits: Tensor,
        boxes_cxcywh: Tensor,
        targets: Targets,
        matches: Matches,
        num_boxes: float | Tensor,
    ) -> dict[str, Tensor]:
        """Weighted losses by name, each with one value for each of the L layers."""
        where = (matches.layer, matches.image, matches.query)
        boxes = boxes_cxcywh[where]  # (P, 4)
        target_boxes = torch.cat([t["boxes"] for t in targets])[matches.target].to(boxes.dtype)
        labels = torch.cat([t["labels"] for t in targets])[matches.target]
        iou, giou = iou_and_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
        quality = {"giou": giou}.get(self.boxes_weight_format or "", iou).detach()
        sums: dict[str, Tensor] = {}
        if "vfl" in self.losses:
            sums["loss_vfl"] = self._varifocal(logits, where, labels, quality)
        if "focal" in self.losses:
            sums["loss_focal"] = self._focal(logits, where, labels)
        if "boxes" in self.losses:
            weight = quality if self.boxes_weight_format else torch.ones_like(quality)
            distance = (boxes - target_boxes).abs().sum(dim=-1)
            num_layers = len(logits)
            sums["loss_bbox"] = _sum_by_layer(distance, matches.layer, num_layers)
            sums["loss_giou"] = _sum_by_layer((1 - giou) * weight, matches.layer, num_layers)
        return {
            name: value * (self.weight_dict[name] / num_boxes)
            for name, value in sums.items()
            if name in self.weight_dict
        }

    def _varifocal(
        self, logits: Tensor, where: tuple[Tensor, ...], labels: Tensor, quality: Tensor
    ) -> Tensor:
        """Positives aim at the quality of their box; negatives count by how wrong they are."""
        score = torch.zeros_like(logits)
        score[(*where, labels)] = quality.to(score.dtype)
        weight = self.alpha * logits.detach().sigmoid().pow(self.gamma)
        # A positive's weight is the score that it aims at, even where that is zero or less.
        weight[(*where, labels)] = quality.to(score.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, score, weight, reduction="none")
        return loss.sum(dim=(1, 2, 3))

    def _focal(self, logits: Tensor, where: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        positive = torch.zeros_like(logits)
        positive[(*where, labels)] = 1
        loss = sigmoid_focal_loss(logits, positive, self.alpha, self.gamma, reduction="none")
        return loss.sum(dim=(1, 2, 3))


def denoising_matches(meta: Mapping[str, Any], targets: Targets, num_layers: int) -> Matches:
    """Denoising queries know their box: the same pairs on every layer, group after group."""
    counts = [len(target["labels"]) for target in targets]
    device = targets[0]["labels"].device
    images, boxes, start = [], [], 0
    for image, count in enumerate(counts):
        positions = torch.arange(start, start + count, device=device)
        boxes.append(positions.repeat(meta["dn_num_group"]))
        images.append(torch.full_like(boxes[-1], image))
        start += count
    image, query, target = (
        torch.cat(list(parts)) for parts in (images, meta["dn_positive_idx"], boxes)
    )
    once = Matches(torch.zeros_like(image), image, query, target)
    return once.on_layers(num_layers)


def build_criterion(config: Config) -> Criterion:
    """The criterion, with its matcher, as configured."""
    section = config.loss
    matcher = HungarianMatcher(
        **section.matcher.weight_dict,
        use_focal_loss=section.matcher.use_focal_loss,
        alpha=section.matcher.alpha,
        gamma=section.matcher.gamma,
    )
    return Criterion(
        matcher=matcher,
        weight_dict=section.weight_dict,
        losses=section.losses,
        alpha=section.alpha,
        gamma=section.gamma,
        boxes_weight_format=section.boxes_weight_format,
        share_matched_indices=section.share_matched_indices,
    )


def _stack(layers: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits (L, B, Q, C) and boxes (L, B, Q, 4); half precision becomes single."""
    logits = torch.stack([layer["pred_logits"] for layer in layers])
    boxes = torch.stack([layer["pred_boxes"] for layer in layers])
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return logits, boxes.to(logits.dtype)


def _named(losses: Mapping[str, Tensor], suffixes: Sequence[str]) -> dict[str, Tensor]:
    """One entry for each layer and loss, all losses of a layer together."""
    return {
        name + suffix: values[layer]
        for layer, suffix in enumerate(suffixes)
        for name, values in losses.items()
    }


def _sum_by_layer(values: Tensor, layer: Tensor, num_layers: int) -> Tensor:
    return values.new_zeros(num_layers).index_add(0, layer, values)


def mean_num_boxes(targets: Targets, device: torch.device) -> float | Tensor:
    """Ground-truth boxes of these images, averaged over the processes; at least 1.

    With several processes it stays on the device, so that the host need not wait for it.
    """
    num_boxes = float(sum(len(target["labels"]) for target in targets))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        total = torch.full((), num_boxes, device=device)
        torch.distributed.all_reduce(total)
        return (total / torch.distributed.get_world_size()).clamp(min=1.0)
    return max(num_boxes, 1.0)
