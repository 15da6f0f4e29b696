"""The boxes from which query selection starts."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_ANCHOR_SIZE = 0.05


def generate_anchors(
    map_sizes_hw: Sequence[tuple[int, int]], margin: float
) -> tuple[Tensor, Tensor]:
    """One square box on each position of each map, as logits.

    Args:
        map_sizes_hw: height and width of the maps, finest first; the box side doubles from 0.05.
        margin: boxes with a coordinate outside margin..1 - margin are not valid.

    Returns:
        Boxes cxcywh as logits, (1, N, 4) float32, infinite where not valid; and validity (1, N, 1).
    """
    levels = []
    for level, (height, width) in enumerate(map_sizes_hw):
        row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        size_wh = torch.tensor([width, height], dtype=torch.float32)
        center = (torch.stack([column, row], dim=-1) + 0.5) / size_wh
        side = torch.full_like(center, _ANCHOR_SIZE * 2.0**level)
        levels.append(torch.cat([center, side], dim=-1).reshape(1, height * width, 4))
    anchors = torch.cat(levels, dim=1)
    valid = ((anchors > margin) & (anchors < 1 - margin)).all(dim=-1, keepdim=True)
    logits = torch.log(anchors / (1 - anchors)).masked_fill(~valid, math.inf)
    return logits, valid


def map_sizes(
    image_size_hw: Sequence[int], strides: Sequence[int], num_levels: int
) -> list[tuple[int, int]]:
    """Heights and widths of the maps of a picture; levels beyond `strides` halve the one before."""
    height, width = image_size_hw
    strides = [*strides]
    while len(strides) < num_levels:
        strides.append(strides[-1] * 2)
    return [(height // stride, width // stride) for stride in strides]
