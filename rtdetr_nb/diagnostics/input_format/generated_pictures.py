"""Pictures to try weights on where none are given: overlapping discs of all sizes and colours.

The "dead leaves" model: occluding discs whose radii follow a power law have the statistics of edges
and scales that photographs have, so a layer that was trained on photographs meets roughly what it
knows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_DISCS = 400
_SMALLEST = 6.0  # pixels of radius
_COLOUR_SPREAD = 0.15  # of the channels around a grey
_GRAIN = 0.02


@lru_cache(maxsize=2)
def dead_leaves(count: int, size: int, seed: int = 0) -> Tensor:
    """RGB pictures (count, 3, size, size) of values 0 to 1; the same for the same seed."""
    random = np.random.default_rng(seed)
    return torch.stack([_picture(random, size) for _ in range(count)])


def _picture(random: np.random.Generator, size: int) -> Tensor:
    y, x = np.mgrid[:size, :size]
    pixels = np.tile(random.uniform(0, 1, 3), (size, size, 1))
    # Radii with a density of r to the power of -3, from the smallest to the whole picture.
    share = 1 - random.uniform(0, 1, _DISCS) * (1 - (_SMALLEST / size) ** 2)
    radii = _SMALLEST * share**-0.5
    centres = random.uniform(0, size, (_DISCS, 2))
    colours = random.uniform(0, 1, (_DISCS, 1)) + random.normal(0, _COLOUR_SPREAD, (_DISCS, 3))
    for radius, (column, row), colour in zip(radii, centres, colours, strict=True):
        pixels[(x - column) ** 2 + (y - row) ** 2 < radius**2] = np.clip(colour, 0, 1)
    light = random.uniform(0.6, 1.0)
    pixels = np.clip(pixels * light + random.normal(0, _GRAIN, pixels.shape), 0, 1)
    return torch.from_numpy(pixels).permute(2, 0, 1).float()
