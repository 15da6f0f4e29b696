"""Which position of which map answers for which box: by size and by nearness to its centre.

Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (ICCV 2019), with the
centre sampling of its later version.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NO_BOX = -1

_RADIUS = 1.5  # in strides: how far from a box's centre a position may lie
# The finest map answers for distances up to 5 strides to the farthest side, the next one for up to
# 5 of its own. (8 in the paper, for pictures three times as large: the coarsest map would be idle.)
_SIZE_PER_STRIDE = 5


@dataclass(frozen=True)
class Positions:
    """The positions of all maps, the finest map first.

    Attributes:
        centers_xy: (P, 2) in pixels.
        strides: (P,) in pixels.
        reach: (P, 2), exclusive and inclusive bounds of the largest distance to a side of a box
            that a position answers for, in pixels.
    """

    centers_xy: Tensor
    strides: Tensor
    reach: Tensor


def lay_out(strides: Sequence[int], image_size: int) -> Positions:
    """The positions of maps with these strides, growing, on square pictures."""
    centers, stride_of, reach = [], [], []
    low = 0.0
    for index, stride in enumerate(strides):
        side = torch.arange(image_size // stride) * float(stride) + stride / 2
        y, x = torch.meshgrid(side, side, indexing="ij")
        centers.append(torch.stack([x, y], dim=-1).reshape(-1, 2))
        count = len(centers[-1])
        stride_of.append(torch.full((count,), float(stride)))
        high = float(stride * _SIZE_PER_STRIDE) if index < len(strides) - 1 else torch.inf
        reach.append(torch.tensor([low, high]).repeat(count, 1))
        low = high
    return Positions(torch.cat(centers), torch.cat(stride_of), torch.cat(reach))


def assign(positions: Positions, boxes_xyxy: Tensor) -> Tensor:
    """Index of the box that each position answers for, or `NO_BOX`: (P,) int64.

    A position answers for a box if it lies inside, near the centre, and the largest distance to a
    side is within its map's reach; of several boxes, for the smallest.

    Args:
        positions: of all maps.
        boxes_xyxy: (N, 4) in pixels.
    """
    if not len(boxes_xyxy):
        return torch.full((len(positions.strides),), NO_BOX)
    centers = positions.centers_xy[:, None]  # (P, 1, 2)
    top_left, bottom_right = boxes_xyxy[None, :, :2], boxes_xyxy[None, :, 2:]  # (1, N, 2)
    sides = torch.cat([centers - top_left, bottom_right - centers], dim=-1)  # (P, N, 4)
    longest = sides.amax(dim=-1)
    off_center = (centers - (top_left + bottom_right) / 2).abs().amax(dim=-1)
    answers = (
        (sides.amin(dim=-1) > 0)
        & (off_center < _RADIUS * positions.strides[:, None])
        & (longest > positions.reach[:, :1])
        & (longest <= positions.reach[:, 1:])
    )
    area = (bottom_right - top_left).prod(dim=-1).expand_as(longest)
    smallest, box = area.masked_fill(~answers, torch.inf).min(dim=1)
    return torch.where(smallest.isinf(), NO_BOX, box)
