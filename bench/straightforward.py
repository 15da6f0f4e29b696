"""The training step in its straightforward form, which ours is measured against.

It matches and scores every layer by itself, computes scores and boxes of all positions to choose a
few, computes self-attention of all queries at once with one mask, samples every map of the
deformable attention by itself, and updates every parameter by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from rtdetr_nb.model import deformable_attention
from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.model.decoder_layer import QueryAttention
from rtdetr_nb.model.deformable_attention import attend_by_maps, sample_bilinear
from rtdetr_nb.training.losses.criterion import Criterion, denoising_matches
from rtdetr_nb.training.losses.matcher import Targets


class LayerByLayerCriterion(Criterion):
    """The same losses with one matching and one computation for each layer."""

    def forward(
        self,
        outputs: Mapping[str, Any],
        targets: Targets,
        num_boxes: float | Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As `Criterion.forward`, layer by layer; of one batch only."""
        assert num_boxes is None
        last = {key: outputs[key] for key in ("pred_logits", "pred_boxes")}
        losses = super().forward(last, targets)
        for index, layer in enumerate(outputs["aux_outputs"]):
            found = super().forward(layer, targets)
            losses |= {f"{name}_aux_{index}": value for name, value in found.items()}
        meta = outputs["dn_meta"]
        repeated = max(sum(len(t["labels"]) for t in targets), 1) * meta["dn_num_group"]
        for index, layer in enumerate(outputs["dn_aux_outputs"]):
            matches = denoising_matches(meta, targets, num_layers=1)
            logits, boxes = layer["pred_logits"][None], layer["pred_boxes"][None]
            found = self._losses(logits, boxes, targets, matches, repeated)
            losses |= {f"{name}_dn_{index}": value[0] for name, value in found.items()}
        for index, layer in enumerate(outputs["enc_aux_outputs"]):
            found = super().forward(layer, targets)
            losses |= {f"{name}_enc_{index}": value for name, value in found.items()}
        return losses


class SelectionFromAll(RTDETRTransformerv2):
    """The same queries, with a gradient through all positions."""

    def _select_queries(
        self, memory: Tensor, map_sizes_hw: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        anchors, valid = self._anchors_for(map_sizes_hw, memory.device)
        memory = self.enc_output(valid.to(memory.dtype) * memory)
        logits = self.enc_score_head(memory)
        boxes_logit = self.enc_bbox_head(memory) + anchors
        index = self.selection.best_positions(logits)[..., None]
        logits, boxes_logit, content = (
            values.gather(1, index.expand(-1, -1, values.shape[-1]))
            for values in (logits, boxes_logit, memory)
        )
        selection = {"pred_logits": logits, "pred_boxes": boxes_logit.sigmoid()}
        return content.detach(), boxes_logit.detach(), selection


class AttentionWithOneMask(QueryAttention):
    """The same self-attention, in which a mask hides denoising queries from the others."""

    def forward(self, query: Tensor, value: Tensor, denoising_mask: Tensor | None) -> Tensor:
        """As `QueryAttention.forward`."""
        if denoising_mask is None:
            return super().forward(query, value, None)
        hidden = hidden_from_all(denoising_mask)
        return nn.MultiheadAttention.forward(
            self, query, query, value, attn_mask=hidden, need_weights=False
        )[0]


def hidden_from_all(denoising_mask: Tensor) -> Tensor:
    """The mask of denoising queries (D, D + Q) for all queries, in `nn.MultiheadAttention`'s way:
    (D + Q, D + Q), True where the row may not look at the column."""
    D, count = denoising_mask.shape
    own = torch.arange(count, device=denoising_mask.device).expand(count - D, count) < D
    return torch.cat([~denoising_mask, own])


def make_straightforward(
    model: nn.Module, criterion: Criterion, optimizer: torch.optim.Optimizer
) -> None:
    """Let them compute the same in the straightforward way.

    Deformable attention does so within `attention_by_maps`.
    """
    model.get_submodule("decoder").__class__ = SelectionFromAll
    for module in model.modules():
        if isinstance(module, QueryAttention):
            module.__class__ = AttentionWithOneMask
    criterion.__class__ = LayerByLayerCriterion
    for group in optimizer.param_groups:
        group["fused"] = group["foreach"] = False


@contextmanager
def attention_by_maps() -> Iterator[None]:
    """Deformable attention samples map by map in here."""
    by_maps = partial(attend_by_maps, sample_bilinear)
    with patch.object(deformable_attention, "attend_by_rows", by_maps):
        yield
