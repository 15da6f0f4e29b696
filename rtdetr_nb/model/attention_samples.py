"""What deformable attention sums, in all ways of computing it."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class AttentionSamples(NamedTuple):
    """Maps, the places at which they are sampled, and the weights of the samples.

    Attributes:
        value: (B, N, heads, C), all maps flattened row by row and joined.
        locations: (B, Q, heads, points, 2), x and y in 0..1 of their map; points of the first map
            first.
        weights: (B, Q, heads, points).
        map_sizes_hw: height and width of each map; the areas sum to N.
        num_points: points on each map; they sum to `points`.
    """

    value: Tensor
    locations: Tensor
    weights: Tensor
    map_sizes_hw: Sequence[tuple[int, int]]
    num_points: Sequence[int]
