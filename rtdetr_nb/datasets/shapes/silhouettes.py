"""The ten silhouettes of the shapes data, as signed distances inside the unit circle."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

CLASS_NAMES = (
    "disc",
    "ring",
    "square",
    "triangle",
    "star",
    "cross",
    "crescent",
    "hourglass",
    "arrow",
    "heart",
)


def signed_distance(label: int, u: Floats, v: Floats) -> Floats:
    """Distance to the outline of silhouette `label`, negative inside.

    Args:
        label: index into `CLASS_NAMES`.
        u: x coordinates in units of the silhouette's radius, any shape.
        v: y coordinates, the same shape as `u`.

    Returns:
        Distances in the same units, the shape of `u`; exact near the outline.
    """
    name = CLASS_NAMES[label]
    radius = np.hypot(u, v)
    if name == "disc":
        return radius - np.float32(0.9)
    if name == "ring":
        return np.abs(radius - np.float32(0.72)) - np.float32(0.2)
    if name == "crescent":
        return np.maximum(radius - np.float32(0.95), np.float32(0.75) - np.hypot(u - 0.45, v))
    return _polygon_distance(_POLYGONS[name], u, v)


def _polygon_distance(corners: Floats, u: Floats, v: Floats) -> Floats:
    """Signed distance to a closed polygon with corners (K, 2), by the even-odd rule."""
    squared = np.full(u.shape, np.inf, np.float32)
    inside = np.zeros(u.shape, bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge_x, edge_y = x2 - x1, y2 - y1
        along = ((u - x1) * edge_x + (v - y1) * edge_y) / (edge_x * edge_x + edge_y * edge_y)
        along = np.clip(along, 0.0, 1.0)
        squared = np.minimum(
            squared, (u - x1 - along * edge_x) ** 2 + (v - y1 - along * edge_y) ** 2
        )
        if edge_y != 0.0:
            inside ^= ((y1 > v) != (y2 > v)) & (u < x1 + (v - y1) * (edge_x / edge_y))
    distance = np.sqrt(squared)
    return np.where(inside, -distance, distance)


def _regular(count: int, inner: float | None = None) -> Floats:
    """Corners on the unit circle; with `inner`, as many more between them on a smaller one."""
    corners = count if inner is None else 2 * count
    angles = np.arange(corners) * 2.0 * np.pi / corners
    radii = np.ones(corners)
    if inner is not None:
        radii[1::2] = inner
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).astype(np.float32)


def _mirrored(right_half: list[tuple[float, float]]) -> Floats:
    """A polygon that is symmetric about the vertical axis, from its right half, top to bottom."""
    left_half = [(-x, y) for x, y in reversed(right_half) if x > 0.0]
    return np.asarray(right_half + left_half, np.float32)


def _heart() -> Floats:
    """The usual parametric heart, scaled into the unit circle."""
    t = (np.arange(22) + 0.5) * 2.0 * np.pi / 22
    x = 16.0 * np.sin(t) ** 3
    y = -(13.0 * np.cos(t) - 5.0 * np.cos(2.0 * t) - 2.0 * np.cos(3.0 * t) - np.cos(4.0 * t))
    corners = np.stack([x, y - 1.5], axis=1)
    return (corners / np.hypot(*corners.T).max()).astype(np.float32)


_POLYGONS = {
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _regular(5, inner=0.4),
    "cross": _mirrored(
        [(0.26, -0.95), (0.26, -0.26), (0.95, -0.26), (0.95, 0.26), (0.26, 0.26), (0.26, 0.95)]
    ),
    "hourglass": _mirrored([(0.68, -0.72), (0.1, 0.0), (0.68, 0.72)]),
    "arrow": _mirrored([(0.0, -1.0), (0.72, -0.15), (0.24, -0.15), (0.24, 0.95)]),
    "heart": _heart(),
}


def unit_areas() -> tuple[float, ...]:
    """Area of each silhouette of radius one, counted on a grid."""
    axis = np.linspace(-1.0, 1.0, 200, dtype=np.float32)
    v, u = np.meshgrid(axis, axis, indexing="ij")
    return tuple(
        float((signed_distance(label, u, v) < 0.0).mean() * 4.0)
        for label in range(len(CLASS_NAMES))
    )
