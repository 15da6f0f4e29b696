"""Multi-scale deformable attention.

Source: Zhu et al., "Deformable DETR" (ICLR 2021), section 4.1, with the variants of RT-DETRv2 (Lv
et al., 2024): each level may have another number of sampling points, and discrete sampling.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtdetr_nb.model.attention_by_rows import attend_by_rows
from rtdetr_nb.model.attention_samples import AttentionSamples

# Sampling offsets are counted in halves of the reference box.
_OFFSET_SCALE = 0.5


def sample_bilinear(value: Tensor, locations: Tensor) -> Tensor:
    """Sample `value` (N, C, H, W) at `locations` (N, Q, P, 2), x and y in 0..1: (N, C, Q, P)."""
    grid = 2 * locations - 1
    return F.grid_sample(value, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def sample_discrete(value: Tensor, locations: Tensor) -> Tensor:
    """The same with the pixel that holds each location, clamped to the map, instead of bilinear.

    x is clamped by the width and y by the height. (The official code clamps both by the height,
    which differs on maps that are not square.)
    """
    N, C, H, W = value.shape
    _, Q, P, _ = locations.shape
    column = (locations[..., 0] * W + 0.5).to(torch.int64).clamp(0, W - 1)
    row = (locations[..., 1] * H + 0.5).to(torch.int64).clamp(0, H - 1)
    index = (row * W + column).reshape(N, 1, Q * P).expand(-1, C, -1)
    return value.flatten(2).gather(2, index).reshape(N, C, Q, P)


def attend_by_maps(
    sampler: Callable[[Tensor, Tensor], Tensor], samples: AttentionSamples
) -> Tensor:
    """Sample every map at its points, then sum with the weights: (B, Q, heads * C).

    Args:
        sampler: as `sample_bilinear`.
        samples: as for `attend_by_rows`.
    """
    value, locations, weights, map_sizes_hw, num_points = samples
    B, Q, heads, points = weights.shape
    # heads join the batch: (B, N, heads, C) -> (B*heads, C, N)
    value = value.permute(0, 2, 3, 1).flatten(0, 1)
    locations = locations.transpose(1, 2).flatten(0, 1)  # (B*heads, Q, points, 2)
    areas = [height * width for height, width in map_sizes_hw]
    levels = zip(
        value.split(areas, dim=-1),
        locations.split(list(num_points), dim=2),
        map_sizes_hw,
        strict=True,
    )
    sampled = [
        # Autocast leaves values in half precision and locations in single. Sampling needs one, and
        # a location in half precision can be off by a fiftieth of a pixel.
        sampler(level.unflatten(-1, size_hw).to(where.dtype), where)
        for level, where, size_hw in levels
    ]
    weights = weights.transpose(1, 2).reshape(B * heads, 1, Q, points)
    attended = (torch.cat(sampled, dim=-1) * weights).sum(dim=-1)  # (B*heads, C, Q)
    return attended.reshape(B, -1, Q).transpose(1, 2)


_BY_MAPS = {
    "default": partial(attend_by_maps, sample_bilinear),
    "discrete": partial(attend_by_maps, sample_discrete),
}


@dataclass(frozen=True)
class Sampling:
    """Where and how a head looks at the maps.

    Attributes:
        num_points: points on each map, finest first.
        method: "default" samples bilinearly; "discrete" takes the nearest pixel and so keeps its
            offsets as they are initialised.
    """

    num_points: tuple[int, ...]
    method: str


class DeformableAttention(nn.Module):
    """Each query looks at a few points of each map, around its reference box.

    Args:
        embed_dim: channels of queries and values; divisible by `num_heads`.
        num_heads: heads, each with points and weights for itself.
        sampling: see there.
    """

    def __init__(self, embed_dim: int, num_heads: int, sampling: Sampling) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_points = sampling.num_points
        self.method = sampling.method
        total_points = num_heads * sum(self.num_points)
        scale = [1 / count for count in self.num_points for _ in range(count)]
        self.num_points_scale: Tensor
        self.register_buffer("num_points_scale", torch.tensor(scale, dtype=torch.float32))
        self.sampling_offsets = nn.Linear(embed_dim, total_points * 2)
        self.attention_weights = nn.Linear(embed_dim, total_points)
        self.value_proj = nn.Linear(embed_dim, embed_dim)
        self.output_proj = nn.Linear(embed_dim, embed_dim)
        self._init_parameters()
        if self.method == "discrete":
            self.sampling_offsets.requires_grad_(False)

    def _init_parameters(self) -> None:
        """Heads look in directions spread over the circle, points at growing distances."""
        angle = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        direction = direction / direction.abs().amax(dim=-1, keepdim=True)
        distance = torch.cat([torch.arange(1, count + 1) for count in self.num_points])
        offsets = direction[:, None, :] * distance[None, :, None]  # (heads, points, 2)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        query: Tensor,
        reference_boxes_cxcywh: Tensor,
        memory: Tensor,
        map_sizes_hw: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Attend to the maps.

        Args:
            query: (B, Q, C).
            reference_boxes_cxcywh: (B, Q, 4), fractions of the image.
            memory: (B, N, C), all maps flattened row by row and joined, finest first.
            map_sizes_hw: height and width of each map; the areas sum to N.

        Returns:
            (B, Q, C).
        """
        B, Q, C = query.shape
        heads, points = self.num_heads, sum(self.num_points)
        value = self.value_proj(memory).unflatten(-1, (heads, C // heads))
        offsets = self.sampling_offsets(query).reshape(B, Q, heads, points, 2)
        weights = self.attention_weights(query).reshape(B, Q, heads, points).softmax(dim=-1)
        locations = self._locations(reference_boxes_cxcywh, offsets)
        attend = attend_by_rows if self._is_quicker_by_rows(query) else _BY_MAPS[self.method]
        samples = AttentionSamples(value, locations, weights, map_sizes_hw, self.num_points)
        return self.output_proj(attend(samples))

    def _is_quicker_by_rows(self, query: Tensor) -> bool:
        """On a CPU, unless a compiler or exporter records the operations: those of
        `attend_by_maps` are known to it."""
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        return query.device.type == "cpu" and self.method == "default" and not recorded

    def _locations(self, boxes_cxcywh: Tensor, offsets: Tensor) -> Tensor:
        boxes = boxes_cxcywh[:, :, None, None, :]  # (B, Q, 1, 1, 4)
        scale = self.num_points_scale.to(offsets.dtype)[:, None]
        return boxes[..., :2] + offsets * scale * boxes[..., 2:] * _OFFSET_SCALE
