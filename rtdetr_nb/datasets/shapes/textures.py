"""Textures for the grounds and the objects of the shapes data."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def draw_texture(
    rng: np.random.Generator, height: int, width: int, colour: Floats, spread: float
) -> Floats:
    """A random pattern between `colour` and another colour near it.

    Args:
        rng: every choice is drawn from it.
        height: rows in pixels.
        width: columns in pixels.
        colour: (3,) RGB in 0..255.
        spread: the other colour differs by at most this in each channel; it may leave 0..255.

    Returns:
        (height, width, 3) float32.
    """
    other = colour + rng.uniform(-spread, spread, 3).astype(np.float32)
    pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    blend = pattern(rng, height, width).astype(np.float32)[..., None]
    return colour + (other - colour) * blend


def _ramp(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Distance along a random direction, in pixels."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    return np.float32(np.cos(angle)) * columns + np.float32(np.sin(angle)) * rows


def _plain(rng: np.random.Generator, height: int, width: int) -> Floats:
    return np.full((height, width), rng.random(), np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Floats:
    ramp = _ramp(rng, height, width)
    return (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1.0)


def _stripes(rng: np.random.Generator, height: int, width: int) -> Floats:
    period = rng.uniform(5.0, 30.0)
    return 0.5 + 0.5 * np.sin(_ramp(rng, height, width) * np.float32(2.0 * np.pi / period))


def _checks(rng: np.random.Generator, height: int, width: int) -> Floats:
    period = rng.uniform(6.0, 30.0)
    angle = rng.uniform(0.0, np.pi)
    rows = np.arange(height, dtype=np.float32)[:, None] / period
    columns = np.arange(width, dtype=np.float32)[None, :] / period
    across = np.floor(np.cos(angle) * columns + np.sin(angle) * rows)
    down = np.floor(np.cos(angle) * rows - np.sin(angle) * columns)
    return ((across + down) % 2.0).astype(np.float32)


def _clouds(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Smooth noise: a coarse random grid, interpolated."""
    cell = rng.uniform(6.0, 60.0)
    grid = rng.random((int(height / cell) + 2, int(width / cell) + 2), np.float32)
    y, x = np.arange(height) / cell, np.arange(width) / cell
    top, left = y.astype(int), x.astype(int)
    down = (y - top).astype(np.float32)[:, None]
    right = (x - left).astype(np.float32)[None, :]
    rows = grid[top] * (1.0 - down) + grid[top + 1] * down
    return rows[:, left] * (1.0 - right) + rows[:, left + 1] * right


def _grain(rng: np.random.Generator, height: int, width: int) -> Floats:
    return 0.7 * _clouds(rng, height, width) + 0.3 * rng.random((height, width), np.float32)


_PATTERNS: tuple[Callable[[np.random.Generator, int, int], Floats], ...] = (
    _plain,
    _gradient,
    _stripes,
    _checks,
    _clouds,
    _grain,
)
