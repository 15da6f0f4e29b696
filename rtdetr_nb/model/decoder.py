"""The RT-DETRv2 decoder: query selection, deformable decoder layers, prediction heads.

Sources: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (CVPR 2024), and Lv et al.,
"RT-DETRv2" (2024). Attribute names make up the keys of official checkpoints.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rtdetr_nb.boxes import inverse_sigmoid
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.anchors import generate_anchors
from rtdetr_nb.model.decoder_layer import DecoderLayer, DecoderStack, LayerSettings
from rtdetr_nb.model.denoising import (
    DenoisingQueries,
    DenoisingSettings,
    make_denoising_queries,
)
from rtdetr_nb.model.layers import MLP, as_tokens, projection
from rtdetr_nb.model.query_selection import QuerySelection
from rtdetr_nb.model.without_gradient import without_gradient

# A class is rare among 300 queries, so heads start low (Lin et al., "Focal Loss", ICCV 2017).
_PRIOR_PROBABILITY = 0.01


class RTDETRTransformerv2(nn.Module):
    """Chooses positions of the maps as queries and refines them layer by layer.

    Args:
        num_classes: size of the class heads.
        feat_channels: channels of the incoming maps, finest first. Attention looks at as many maps
            as `layer.sampling` has numbers of points; further maps halve the resolution.
        num_layers: layers, each with heads for classes and boxes.
        layer: what the layers have in common.
        selection: of the positions that become queries.
        denoising: of the additional queries in training.
        eval_idx: the layer whose output counts in evaluation; negative counts from the end.
        aux_loss: return the outputs of all layers in training.
        anchor_maps_hw: sizes of the maps for which `state_dict` holds anchors; empty for no
            anchors.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        feat_channels: Sequence[int],
        num_layers: int,
        layer: LayerSettings,
        selection: QuerySelection,
        denoising: DenoisingSettings,
        eval_idx: int,
        aux_loss: bool,
        anchor_maps_hw: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__()
        hidden_dim, num_queries = layer.hidden_dim, selection.num_queries
        self.selection = selection
        self.denoising = denoising
        self.eval_layer = eval_idx % num_layers
        self.aux_loss = aux_loss
        self._anchors: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

        num_levels = len(layer.sampling.num_points)
        self.input_proj = _input_projections(feat_channels, hidden_dim, num_levels)
        self.decoder = DecoderStack([DecoderLayer(layer) for _ in range(num_layers)])
        if denoising.num_denoising > 0:
            self.denoising_class_embed = nn.Embedding(
                num_classes + 1, hidden_dim, padding_idx=num_classes
            )
        if selection.learn_content:
            self.tgt_embed = nn.Embedding(num_queries, hidden_dim)
        self.query_pos_head = MLP(4, 2 * hidden_dim, hidden_dim, 2)
        self.enc_output = nn.Sequential(
            OrderedDict(proj=nn.Linear(hidden_dim, hidden_dim), norm=nn.LayerNorm(hidden_dim))
        )
        num_scores = 1 if selection.is_class_agnostic else num_classes
        self.enc_score_head = nn.Linear(hidden_dim, num_scores)
        self.enc_bbox_head = MLP(hidden_dim, hidden_dim, 4, 3)
        layers = range(num_layers)
        self.dec_score_head = nn.ModuleList(nn.Linear(hidden_dim, num_classes) for _ in layers)
        self.dec_bbox_head = nn.ModuleList(MLP(hidden_dim, hidden_dim, 4, 3) for _ in layers)
        if anchor_maps_hw:
            # Parity: official checkpoints hold the anchors of the evaluation size. They are kept
            # in the file format; the forward pass makes those of the maps that really come in.
            anchors, valid_mask = generate_anchors(anchor_maps_hw, selection.margin)
            self.register_buffer("anchors", anchors)
            self.register_buffer("valid_mask", valid_mask)
        self._init_parameters()

    def _init_parameters(self) -> None:
        bias = -math.log((1 - _PRIOR_PROBABILITY) / _PRIOR_PROBABILITY)
        for score_head in (self.enc_score_head, *self.dec_score_head):
            nn.init.constant_(score_head.get_parameter("bias"), bias)
        for bbox_head in (self.enc_bbox_head, *self.dec_bbox_head):
            # A layer starts by leaving its reference box as it is.
            *_, last_weight, last_bias = bbox_head.parameters()
            nn.init.zeros_(last_weight)
            nn.init.zeros_(last_bias)
        spread = [self.enc_output, self.query_pos_head, self.input_proj]
        if self.selection.learn_content:
            spread.append(self.tgt_embed)
        for module in spread:
            for parameter in module.parameters():
                if parameter.dim() > 1:  # the weights, not biases and norms
                    nn.init.xavier_uniform_(parameter)

    def forward(
        self, maps: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Any]:
        """Predict classes and boxes.

        Args:
            maps: (B, feat_channels[i], H_i, W_i), finest first.
            targets: for each image `labels` (n,) and `boxes` (n, 4) cxcywh in 0..1; needed in
                training with denoising queries.

        Returns:
            `pred_logits` (B, Q, num_classes) and `pred_boxes` (B, Q, 4) cxcywh in 0..1. In training
            also, each a list of such dicts, `aux_outputs` (all layers but the last),
            `enc_aux_outputs` (the selection itself), `dn_aux_outputs` (denoising queries, all
            layers), with `enc_meta` and `dn_meta`.
        """
        memory, map_sizes_hw = self._flatten(maps)
        denoising = None
        if self.training and self.denoising.num_denoising > 0:
            if targets is None:
                raise ValueError("training with denoising queries needs targets")
            denoising = make_denoising_queries(
                targets, self.denoising_class_embed, self.selection.num_queries, self.denoising
            )
        content, boxes_logit, selection = self._select_queries(memory, map_sizes_hw)
        mask = None
        if denoising is not None:
            content = torch.cat([denoising.content, content], dim=1)
            boxes_logit = torch.cat([denoising.boxes_logit, boxes_logit], dim=1)
            mask = denoising.attention_mask
        layers = self.decode(content, boxes_logit, memory, map_sizes_hw, mask)
        if not self.training:
            return layers[-1]
        return self._training_outputs(layers, selection, denoising)

    def _flatten(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Project the maps and join them: (B, N, C), and their heights and widths."""
        projected: list[Tensor] = []
        for level, proj in enumerate(self.input_proj):
            if level < len(maps):
                source = maps[level]
            else:  # the first further level starts from the raw map, the next ones from each other
                source = maps[-1] if level == len(maps) else projected[-1]
            projected.append(proj(source))
        sizes_hw = [(x.shape[2], x.shape[3]) for x in projected]
        return torch.cat([as_tokens(x) for x in projected], dim=1), sizes_hw

    def _anchors_for(
        self, map_sizes_hw: Sequence[tuple[int, int]], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        key = (*map_sizes_hw, device)
        if key not in self._anchors:
            anchors, valid = generate_anchors(map_sizes_hw, self.selection.margin)
            self._anchors[key] = anchors.to(device), valid.to(device)
        return self._anchors[key]

    def _select_queries(
        self, memory: Tensor, map_sizes_hw: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Content (B, Q, C) and box logits (B, Q, 4) of the chosen positions, both cut off from the
        gradient, and their scores and boxes, not cut off, for the encoder loss."""
        num_positions, num_queries = memory.shape[1], self.selection.num_queries
        if num_positions < num_queries:
            raise ConfigError(
                f"The pictures give {num_positions} positions on maps of {list(map_sizes_hw)}, but "
                f"num_queries is {num_queries}. Use larger pictures or set "
                f"RTDETRTransformerv2.num_queries to at most {num_positions}."
            )
        anchors, valid = self._anchors_for(map_sizes_hw, memory.device)
        with without_gradient(memory.device.type):
            scores = self.enc_score_head(self.enc_output(valid.to(memory.dtype) * memory))
            index = self.selection.best_positions(scores)  # (B, Q)
        # What needs a gradient is computed anew, for these few of all positions.
        chosen = memory.gather(1, index[..., None].expand(-1, -1, memory.shape[-1]))
        chosen = self.enc_output(valid[0, index].to(memory.dtype) * chosen)
        logits = self.enc_score_head(chosen)
        boxes_logit = self.enc_bbox_head(chosen) + anchors[0, index]
        if self.selection.learn_content:
            content = self.tgt_embed.weight.expand(memory.shape[0], -1, -1)
        else:
            content = chosen.detach()
        selection = {"pred_logits": logits, "pred_boxes": boxes_logit.sigmoid()}
        return content, boxes_logit.detach(), selection

    def decode(
        self,
        content: Tensor,
        boxes_logit: Tensor,
        memory: Tensor,
        map_sizes_hw: Sequence[tuple[int, int]],
        denoising_mask: Tensor | None,
    ) -> list[dict[str, Tensor]]:
        """The layers one after the other, on their own so that they can be compiled.

        Args:
            content: (B, D + Q, C), of the queries, the D for denoising first.
            boxes_logit: (B, D + Q, 4), where they begin.
            memory: (B, N, C), all maps flattened row by row and joined, finest first.
            map_sizes_hw: height and width of each map.
            denoising_mask: (D, D + Q), True where the row may look at the column; own queries look
                at own queries only. None if D is 0.

        Returns:
            Outputs of all layers (in training), or of the evaluated one alone.
        """
        outputs = []
        reference = boxes_logit.sigmoid()  # what the layer looks at: no gradient goes through it
        previous = None  # the same boxes with gradient, which the next layer's boxes build on
        heads = zip(self.decoder.layers, self.dec_score_head, self.dec_bbox_head, strict=True)
        for index, (layer, score_head, bbox_head) in enumerate(heads):
            position = self.query_pos_head(reference)
            content = layer(content, position, reference, memory, map_sizes_hw, denoising_mask)
            shift = bbox_head(content)
            refined = (shift + inverse_sigmoid(reference)).sigmoid()
            if self.training:
                boxes = (
                    refined if previous is None else (shift + inverse_sigmoid(previous)).sigmoid()
                )
                outputs.append({"pred_logits": score_head(content), "pred_boxes": boxes})
            elif index == self.eval_layer:
                return [{"pred_logits": score_head(content), "pred_boxes": refined}]
            previous, reference = refined, refined.detach()
        return outputs

    def _training_outputs(
        self,
        layers: list[dict[str, Tensor]],
        selection: dict[str, Tensor],
        denoising: DenoisingQueries | None,
    ) -> dict[str, Any]:
        own, noisy = layers, []
        if denoising is not None:
            split = [denoising.num_queries, self.selection.num_queries]
            parts = [{k: v.split(split, dim=1) for k, v in layer.items()} for layer in layers]
            noisy = [{k: v[0] for k, v in part.items()} for part in parts]
            own = [{k: v[1] for k, v in part.items()} for part in parts]
        outputs: dict[str, Any] = dict(own[-1])
        if not self.aux_loss:
            return outputs
        outputs["aux_outputs"] = own[:-1]
        outputs["enc_aux_outputs"] = [selection]
        outputs["enc_meta"] = {"class_agnostic": self.selection.is_class_agnostic}
        if denoising is not None:
            outputs["dn_aux_outputs"] = noisy
            outputs["dn_meta"] = {
                "dn_positive_idx": denoising.positive_index,
                "dn_num_group": denoising.num_groups,
                # Parity: the official outputs have it; nothing here reads it.
                "dn_num_split": [denoising.num_queries, self.selection.num_queries],
            }
        return outputs


def _input_projections(
    feat_channels: Sequence[int], hidden_dim: int, num_levels: int
) -> nn.ModuleList:
    """One for each incoming map, then one for each further level, which halves the resolution."""
    projections = nn.ModuleList(
        projection(channels, hidden_dim, kernel_size=1, stride=1) for channels in feat_channels
    )
    coarsest = feat_channels[-1]
    for _ in range(num_levels - len(feat_channels)):
        projections.append(projection(coarsest, hidden_dim, kernel_size=3, stride=2))
        coarsest = hidden_dim
    return projections
