"""The hybrid encoder: attention within the coarsest map, then fusion across scales.

Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (CVPR 2024), section 4.2: AIFI
(attention-based intra-scale feature interaction) and CCFF (CNN-based cross-scale feature fusion).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtdetr_nb.model.layers import ConvNorm, as_tokens, build_activation, projection


@dataclass(frozen=True)
class IntraScaleAttention:
    """Attention within single maps (AIFI).

    Attributes:
        maps: the maps on which attention runs, by their place among those that come in.
        num_layers: layers for each of them; 0 switches attention off.
        nhead: heads of a layer.
        dim_feedforward: width of the feed-forward part.
        dropout: probability, 0..1.
        activation: of the feed-forward part, by name.
        temperature: of the position embedding.
    """

    maps: tuple[int, ...]
    num_layers: int
    nhead: int
    dim_feedforward: int
    dropout: float
    activation: str
    temperature: float


@dataclass(frozen=True)
class CrossScaleFusion:
    """Convolutions that join maps of two scales (CCFF).

    Attributes:
        num_blocks: RepVGG blocks of a fusion layer.
        expansion: width inside a fusion layer relative to the channels of the maps.
        activation: by name; None is the identity.
    """

    num_blocks: int
    expansion: float
    activation: str | None


class RepVggBlock(nn.Module):
    """A 3x3 and a 1x1 convolution side by side, summed and activated."""

    def __init__(self, channels: int, act: str | None) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 3, act=None)
        self.conv2 = ConvNorm(channels, channels, 1, act=None)
        self.act = build_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.act(self.conv1(x) + self.conv2(x))


class CSPRepLayer(nn.Module):
    """Two 1x1 branches, one of them through a chain of RepVGG blocks, summed."""

    def __init__(self, in_channels: int, out_channels: int, fusion: CrossScaleFusion) -> None:
        super().__init__()
        hidden, act = int(out_channels * fusion.expansion), fusion.activation
        self.conv1 = ConvNorm(in_channels, hidden, 1, act=act)
        self.conv2 = ConvNorm(in_channels, hidden, 1, act=act)
        blocks = (RepVggBlock(hidden, act) for _ in range(fusion.num_blocks))
        self.bottlenecks = nn.Sequential(*blocks)
        self.conv3 = (
            nn.Identity() if hidden == out_channels else ConvNorm(hidden, out_channels, 1, act=act)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W)."""
        return self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))


class TransformerEncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual and a norm behind it."""

    def __init__(self, hidden_dim: int, settings: IntraScaleAttention) -> None:
        super().__init__()
        width, dropout = settings.dim_feedforward, settings.dropout
        self.self_attn = nn.MultiheadAttention(
            hidden_dim, settings.nhead, dropout, batch_first=True
        )
        self.linear1 = nn.Linear(hidden_dim, width)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(width, hidden_dim)
        self.norm1 = nn.LayerNorm(hidden_dim)
        self.norm2 = nn.LayerNorm(hidden_dim)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.activation = build_activation(settings.activation)

    def forward(self, tokens: Tensor, position_embedding: Tensor) -> Tensor:
        """Map tokens (B, N, C) to the same; queries and keys have embeddings (1, N, C) added."""
        query = tokens + position_embedding
        attended, _ = self.self_attn(query, query, value=tokens, need_weights=False)
        tokens = self.norm1(tokens + self.dropout1(attended))
        hidden = self.linear2(self.dropout(self.activation(self.linear1(tokens))))
        return self.norm2(tokens + self.dropout2(hidden))


class TransformerEncoder(nn.Module):
    """A stack of layers that all add the same position embedding."""

    def __init__(self, hidden_dim: int, settings: IntraScaleAttention) -> None:
        super().__init__()
        layers = range(settings.num_layers)
        self.layers = nn.ModuleList(TransformerEncoderLayer(hidden_dim, settings) for _ in layers)

    def forward(self, tokens: Tensor, position_embedding: Tensor) -> Tensor:
        """Map tokens (B, N, C) to (B, N, C)."""
        for layer in self.layers:
            tokens = layer(tokens, position_embedding)
        return tokens


def position_embedding_2d(height: int, width: int, dim: int, temperature: float) -> Tensor:
    """Fixed sine and cosine embedding of a grid, of shape (1, height * width, dim), float32.

    A quarter of the channels each: sine and cosine of the column, sine and cosine of the row.
    """
    # Parity: tokens are flattened row by row, but the grid is laid out column by column
    # (w-major), so on a map of more than one column a token gets the embedding of another place.
    # Released weights were trained that way.
    column, row = torch.meshgrid(
        torch.arange(width, dtype=torch.float32),
        torch.arange(height, dtype=torch.float32),
        indexing="ij",
    )
    frequency = 1.0 / temperature ** (torch.arange(dim // 4, dtype=torch.float32) / (dim // 4))
    column, row = column.flatten()[:, None] * frequency, row.flatten()[:, None] * frequency
    return torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1)[None]


class HybridEncoder(nn.Module):
    """Turns backbone maps into as many fused maps of `hidden_dim` channels.

    Args:
        in_channels: channels of the backbone maps, finest first.
        hidden_dim: channels of all output maps; divisible by 4 and by the heads of attention.
        attention: within maps.
        fusion: across maps.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        hidden_dim: int,
        attention: IntraScaleAttention,
        fusion: CrossScaleFusion,
    ) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.attention = attention
        self._position_embeddings: dict[tuple[int, int, torch.device], Tensor] = {}

        self.input_proj = nn.ModuleList(
            projection(channels, hidden_dim, kernel_size=1, stride=1) for channels in in_channels
        )
        self.encoder = nn.ModuleList(
            TransformerEncoder(hidden_dim, attention) for _ in attention.maps
        )
        steps = range(len(in_channels) - 1)
        self.lateral_convs = nn.ModuleList(
            ConvNorm(hidden_dim, hidden_dim, 1, act=fusion.activation) for _ in steps
        )
        self.fpn_blocks = nn.ModuleList(
            CSPRepLayer(2 * hidden_dim, hidden_dim, fusion) for _ in steps
        )
        self.downsample_convs = nn.ModuleList(
            ConvNorm(hidden_dim, hidden_dim, 3, stride=2, act=fusion.activation) for _ in steps
        )
        self.pan_blocks = nn.ModuleList(
            CSPRepLayer(2 * hidden_dim, hidden_dim, fusion) for _ in steps
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map (B, in_channels[i], H_i, W_i), finest first, to as many (B, hidden_dim, H_i, W_i)."""
        attended = self.attention.maps if self.attention.num_layers > 0 else ()
        return self.fuse(maps, [self._position_embedding(maps[index]) for index in attended])

    def fuse(self, maps: Sequence[Tensor], position_embeddings: Sequence[Tensor]) -> list[Tensor]:
        """All of the encoder that is computed anew for each batch, so that it can be compiled.

        Args:
            maps: as in `forward`.
            position_embeddings: (1, H_i * W_i, hidden_dim) for each map that attention runs on.
        """
        maps = [proj(x) for proj, x in zip(self.input_proj, maps, strict=True)]
        attention = zip(self.attention.maps, self.encoder, position_embeddings, strict=False)
        for index, encoder, embedding in attention:
            tokens = as_tokens(maps[index])
            tokens = encoder(tokens, embedding).transpose(1, 2)
            maps[index] = tokens.reshape(maps[index].shape).contiguous()
        return self._bottom_up(self._top_down(maps))

    def _position_embedding(self, x: Tensor) -> Tensor:
        """Of a map (B, C, H, W): (1, H * W, hidden_dim), kept for the next batch of that size."""
        height, width = x.shape[-2:]
        key = (height, width, x.device)
        if key not in self._position_embeddings:
            temperature = self.attention.temperature
            embedding = position_embedding_2d(height, width, self.hidden_dim, temperature)
            self._position_embeddings[key] = embedding.to(x.device)
        return self._position_embeddings[key]

    def _top_down(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Carry meaning from coarse to fine; each output but the finest is its lateral map."""
        fused = [maps[-1]]
        layers = zip(self.lateral_convs, self.fpn_blocks, reversed(maps[:-1]), strict=True)
        for lateral, block, finer in layers:
            fused[0] = lateral(fused[0])
            upsampled = F.interpolate(fused[0], scale_factor=2.0, mode="nearest")
            fused.insert(0, block(torch.cat([upsampled, finer], dim=1)))
        return fused

    def _bottom_up(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Carry position from fine to coarse."""
        outputs = [maps[0]]
        layers = zip(self.downsample_convs, self.pan_blocks, maps[1:], strict=True)
        for downsample, block, coarser in layers:
            outputs.append(block(torch.cat([downsample(outputs[-1]), coarser], dim=1)))
        return outputs
