"""One layer of the decoder, and their stack."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtdetr_nb.model.deformable_attention import DeformableAttention, Sampling
from rtdetr_nb.model.layers import build_activation


class QueryAttention(nn.MultiheadAttention):
    """Self-attention of queries, those for denoising first, which the decoder's own do not see.

    Its parameters are those of the parent. That own queries look at own queries only takes no mask:
    the products with denoising queries are not made, and PyTorch may choose a kernel without masks.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(embed_dim, num_heads, dropout, batch_first=True)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query: Tensor, value: Tensor, denoising_mask: Tensor | None
    ) -> Tensor:
        """Attend from each query to all.

        Args:
            query: (B, D + Q, C), queries and keys.
            value: (B, D + Q, C).
            denoising_mask: (D, D + Q), True where the row may look at the column; None if D is 0.

        Returns:
            (B, D + Q, C).
        """
        weights = self.in_proj_weight.split([2 * self.embed_dim, self.embed_dim])
        biases = self.in_proj_bias.split([2 * self.embed_dim, self.embed_dim])
        q, k = F.linear(query, weights[0], biases[0]).chunk(2, dim=-1)
        v = F.linear(value, weights[1], biases[1])
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        attend = partial(F.scaled_dot_product_attention, dropout_p=dropout)
        if denoising_mask is None:
            attended = attend(q, k, v)
        else:
            D = len(denoising_mask)
            noisy = attend(q[:, :, :D], k, v, denoising_mask)
            own = attend(q[:, :, D:], k[:, :, D:], v[:, :, D:])
            attended = torch.cat([noisy, own], dim=2)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class LayerSettings:
    """What all layers of the decoder have in common.

    Attributes:
        hidden_dim: channels of queries; divisible by `nhead`.
        nhead: heads of both attentions.
        dim_feedforward: width of the feed-forward part.
        dropout: probability, 0..1.
        activation: of the feed-forward part, by name.
        sampling: of the deformable attention.
    """

    hidden_dim: int
    nhead: int
    dim_feedforward: int
    dropout: float
    activation: str
    sampling: Sampling


class DecoderLayer(nn.Module):
    """Self-attention among queries, deformable attention to the maps, feed-forward."""

    def __init__(self, settings: LayerSettings) -> None:
        super().__init__()
        hidden_dim, dropout = settings.hidden_dim, settings.dropout
        self.self_attn = QueryAttention(hidden_dim, settings.nhead, dropout)
        self.dropout1 = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(hidden_dim)
        self.cross_attn = DeformableAttention(hidden_dim, settings.nhead, settings.sampling)
        self.dropout2 = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(hidden_dim)
        self.linear1 = nn.Linear(hidden_dim, settings.dim_feedforward)
        self.activation = build_activation(settings.activation)
        self.dropout3 = nn.Dropout(dropout)
        self.linear2 = nn.Linear(settings.dim_feedforward, hidden_dim)
        self.dropout4 = nn.Dropout(dropout)
        self.norm3 = nn.LayerNorm(hidden_dim)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(
        self,
        content: Tensor,
        position: Tensor,
        reference_boxes_cxcywh: Tensor,
        memory: Tensor,
        map_sizes_hw: Sequence[tuple[int, int]],
        denoising_mask: Tensor | None,
    ) -> Tensor:
        """Refine the content (B, Q, C) of queries at positions (B, Q, C); returns (B, Q, C)."""
        attended = self.self_attn(content + position, content, denoising_mask)
        content = self.norm1(content + self.dropout1(attended))
        attended = self.cross_attn(content + position, reference_boxes_cxcywh, memory, map_sizes_hw)
        content = self.norm2(content + self.dropout2(attended))
        hidden = self.linear2(self.dropout3(self.activation(self.linear1(content))))
        return self.norm3(content + self.dropout4(hidden))


class DecoderStack(nn.Module):
    """The layers alone; the heads belong to the decoder around it."""

    def __init__(self, layers: Sequence[DecoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
