"""Sets of pictures drawn again from those that are there: how much a figure depends on them."""

from __future__ import annotations

import numpy as np


def resampled_weights(count: int, sets: int, seed: int) -> np.ndarray:
    """How often each picture occurs in sets drawn with replacement: (sets, count)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1 / count), size=sets).astype(float)
