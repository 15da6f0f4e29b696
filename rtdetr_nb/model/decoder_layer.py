"""One layer of the decoder, and their stack."""

from collections.abc import Sequence

from torch import Tensor, nn

from rtdetr_nb.model.deformable_attention import DeformableAttention
from rtdetr_nb.model.layers import build_activation


class DecoderLayer(nn.Module):
    """Self-attention among queries, deformable attention to the maps, feed-forward."""

    def __init__(
        self,
        hidden_dim: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        act: str,
        num_points: Sequence[int],
        cross_attn_method: str,
    ) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(hidden_dim, nhead, dropout, batch_first=True)
        self.dropout1 = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(hidden_dim)
        self.cross_attn = DeformableAttention(hidden_dim, nhead, num_points, cross_attn_method)
        self.dropout2 = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(hidden_dim)
        self.linear1 = nn.Linear(hidden_dim, dim_feedforward)
        self.activation = build_activation(act)
        self.dropout3 = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, hidden_dim)
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
        attention_mask: Tensor | None,
    ) -> Tensor:
        """Refine the content (B, Q, C) of queries at positions (B, Q, C); returns (B, Q, C)."""
        query = content + position
        attended, _ = self.self_attn(
            query, query, value=content, attn_mask=attention_mask, need_weights=False
        )
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
