"""The maps of a frozen backbone, computed once, standardised and reduced by a linear projection.

The projection is the one onto the first principal components of each map's positions, in closed
form from their covariance: nothing is trained, and no label has a say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor, nn

from rtdetr_nb.errors import TuningError

_BATCH = 8
# The maps of so many pictures determine the projection: they have some thousands of positions.
_FITTED_PICTURES = 64


@dataclass(frozen=True)
class Projection:
    """A standardisation of channels, and a projection onto fewer of them.

    Attributes:
        mean: (C,) of each channel.
        weight: (K, C), of the channels minus their mean.
        kept: share of the variance of the standardised channels that the projection keeps.
    """

    mean: Tensor
    weight: Tensor
    kept: float

    def __call__(self, maps: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, K, H, W)."""
        offset = -(self.weight @ self.mean)
        return torch.nn.functional.conv2d(maps, self.weight[:, :, None, None], offset)


def fit_projection(maps: Tensor, channels: int) -> Projection:
    """Fit the projection onto the first principal components of the standardised channels.

    The output has mean square 1 over all positions and channels; the components keep the
    proportions that they have, so that noise is not blown up.

    Args:
        maps: (B, C, H, W).
        channels: K, at most C.
    """
    positions = maps.permute(0, 2, 3, 1).flatten(0, 2).double()  # (N, C)
    mean = positions.mean(dim=0)
    positions -= mean
    # A channel that is zero everywhere stays zero.
    spread = positions.square().mean(dim=0).sqrt()
    scale = torch.where(spread > 0, 1 / spread.clamp(min=1e-12), 0.0)
    positions *= scale
    covariance = (positions.T @ positions) / len(positions)
    count = min(channels, len(covariance))
    values, vectors = _largest(covariance.numpy(), count)
    total = float(covariance.trace())
    mean_square = max(values.sum() / count, 1e-12)
    weight = (torch.from_numpy(vectors.T.copy()) * scale) / mean_square**0.5
    return Projection(mean.float(), weight.float(), float(values.sum() / max(total, 1e-12)))


def _largest(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, the largest first, and their vectors (C, count), signs fixed."""
    size = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=(size - count, size - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    # A vector and its opposite are as good: the largest entry is positive, on every machine.
    largest = np.abs(vectors).argmax(axis=0)
    return values.clip(min=0.0), vectors * np.sign(vectors[largest, np.arange(count)])


@dataclass(frozen=True)
class Features:
    """The reduced maps of pictures, one tensor (N, K, H, W) a level, the finest first."""

    levels: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.levels[0])

    def take(self, indices: Tensor) -> list[Tensor]:
        """The maps of some pictures."""
        return [level[indices] for level in self.levels]


def compute_features(
    backbone: nn.Module,
    train: Tensor,
    val: Tensor,
    channels: int,
    on_share: Callable[[float], None] = lambda share: None,
) -> tuple[Features, Features, tuple[float, ...]]:
    """Reduced maps of training and validation pictures.

    Args:
        backbone: in evaluation mode, on its device.
        train: (N, 3, S, S) uint8; the projection is fitted on these alone.
        val: (M, 3, S, S) uint8.
        channels: of each reduced map.
        on_share: called with each share of the pictures that is done.

    Returns:
        Features of the two, and the share of variance kept a level.

    Raises:
        TuningError: the maps are not finite.
    """
    places = np.linspace(0, len(train) - 1, min(len(train), _FITTED_PICTURES)).astype(int)
    whole = len(places) == len(train)
    each = 1 / (len(train) + len(val) + (0 if whole else len(places)))

    def maps_of(images: Tensor) -> Iterator[list[Tensor]]:
        """The maps of each level, batch by batch; tells how far it is."""
        for maps in _maps(backbone, images):
            on_share(len(maps[0]) * each)
            yield maps

    fitted = [torch.cat(level) for level in zip(*maps_of(train[places]), strict=True)]
    if not all(bool(level.isfinite().all()) for level in fitted):
        raise TuningError(
            "With these weights the backbone's output is not finite, so there is nothing to probe. "
            "`rtdetr-nb diff` shows which tensors of the file are unsound."
        )
    projections = [fit_projection(level, channels) for level in fitted]
    if whole:
        known = [[p(level)] for p, level in zip(projections, fitted, strict=True)]
    else:
        known = _reduce(maps_of(train), projections)
    del fitted
    asked = _reduce(maps_of(val), projections)
    kept = tuple(projection.kept for projection in projections)
    return _joined(known), _joined(asked), kept


def _joined(levels: list[list[Tensor]]) -> Features:
    return Features(tuple(torch.cat(level) for level in levels))


def _reduce(batches: Iterator[list[Tensor]], projections: list[Projection]) -> list[list[Tensor]]:
    """The reduced maps batch by batch, so that only these are kept."""
    levels: list[list[Tensor]] = [[] for _ in projections]
    for maps in batches:
        for level, projection, x in zip(levels, projections, maps, strict=True):
            level.append(projection(x))
    return levels


@torch.no_grad()
def _maps(backbone: nn.Module, images: Tensor) -> Iterator[list[Tensor]]:
    """The backbone's maps on the host, batch by batch."""
    place = next(backbone.parameters()).device
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH].to(place).float() / 255.0
        maps = backbone(batch.contiguous(memory_format=torch.channels_last))
        yield [x.float().cpu().contiguous() for x in maps]
