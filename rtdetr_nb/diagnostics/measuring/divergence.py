"""How far two sets of per-channel statistics lie apart: what a norm remembers, and what it meets.

A batch norm holds the mean and the variance of each channel of its input over the pictures of the
training. Both are read as normal distributions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-5
"""The epsilon that the official norms add to a variance."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean (C,) and variance (C,) of each channel, float64."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, mean: Tensor, variance: Tensor) -> ChannelStatistics:
        """In float64, on the CPU, with the epsilon of the norms in the variance."""
        return cls(mean.detach().double().cpu(), variance.detach().double().cpu() + EPS)

    def scaled(self, factor: float) -> ChannelStatistics:
        """Those of the same channels multiplied by `factor`."""
        return ChannelStatistics(self.mean * factor, self.variance * factor**2)


def kullback_leibler(remembered: ChannelStatistics, met: ChannelStatistics) -> Tensor:
    """The symmetric divergence of each channel, (C,): 0 where both are the same, without bound."""
    v, u = remembered.variance, met.variance
    shift = (remembered.mean - met.mean).square()
    return 0.5 * (v / u + u / v - 2 + shift * (1 / v + 1 / u))


def median_divergence(remembered: ChannelStatistics, met: ChannelStatistics) -> float:
    """The divergence that half of the channels stay below; no single channel decides it."""
    return torch.quantile(kullback_leibler(remembered, met), 0.5).item()


def hellinger(remembered: ChannelStatistics, met: ChannelStatistics) -> Tensor:
    """Squared Hellinger distance of each channel, or of each pair, as broadcast; 0 to 1.

    Bounded, so that the mean over channels is not that of one dead channel.
    """
    v, u = remembered.variance, met.variance
    overlap = (2 * (v * u).sqrt() / (v + u)).sqrt()
    return 1 - overlap * torch.exp(-(remembered.mean - met.mean).square() / (4 * (v + u)))


def common_factor(remembered: ChannelStatistics, met: ChannelStatistics) -> float:
    """By which factor the variances are larger than they should be, in the median channel."""
    return torch.quantile((met.variance / remembered.variance).log(), 0.5).exp().item()


def mismatch(remembered: ChannelStatistics, met: ChannelStatistics) -> tuple[float, float]:
    """Whether each channel meets the statistics that it remembers, or as well those of another.

    A common factor in the variances is taken out first: whether all channels are larger than they
    should be is another question, which the divergence answers.

    Returns:
        The mean distance of the channels from their own statistics over that from any channel's
        (0: each meets its own; 1: no better than channels drawn at random), and that second
        distance, by which the channels can be told apart at all (0 to 1).
    """
    common = common_factor(remembered, met)
    adjusted = ChannelStatistics(met.mean, met.variance / common)
    own = hellinger(remembered, adjusted).mean().item()
    columns = ChannelStatistics(remembered.mean[:, None], remembered.variance[:, None])
    spread = hellinger(columns, adjusted).mean().item()
    return own / max(spread, 1e-12), spread
