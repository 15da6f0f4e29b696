"""Why a layer and its norm may not belong together: what their statistics look like, in words."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rtdetr_nb.diagnostics.measuring.divergence import (
    EPS,
    ChannelStatistics,
    common_factor,
    median_divergence,
    mismatch,
)
from rtdetr_nb.diagnostics.measuring.norm_statistics import NormStatistics

INITIAL = "its statistics are the initial ones, mean 0 and variance 1"
FOREIGN = (
    "the convolution does not belong to these statistics: it is random, of another file, or its "
    "channels are in another order"
)
_INPUTS = "it gets other inputs than in its training (a foreign or an exchanged block before it)"
_SCALED = f"the convolution is scaled, or {_INPUTS}"
_SPREAD = f"the running variance is scaled, or {_INPUTS}"
_DEAD = 1e-4  # of the variance that is remembered
_FITS, _OWN = 0.1, 0.5  # divergence and mismatch of statistics that belong together
_ANTIPARALLEL = -0.7  # correlation of the means


def probable_cause(item: NormStatistics, others: Sequence[NormStatistics]) -> str:
    """Name what fits the statistics of a broken layer best; the last resort is `FOREIGN`."""
    remembered, met = item.remembered, item.met
    if not bool((met.mean + met.variance).isfinite().all()):
        return "its outputs are not finite"
    if is_initial(item):
        return INITIAL
    dead = int(dead_channels(item).sum())
    if dead:
        return f"{dead} of {len(met.mean)} channels put out one value: pruned, or zero"
    donor = _donor(item, others)
    if donor:
        return f"its statistics are those of {donor}"
    means = torch.stack([remembered.mean, met.mean])
    if torch.corrcoef(means)[0, 1] < _ANTIPARALLEL:
        return "the sign of the convolution is turned"
    return _factor(remembered, met) or FOREIGN


def _factor(remembered: ChannelStatistics, met: ChannelStatistics) -> str:
    """One factor in all channels: in the outputs, or in their variance alone; empty if none."""
    factor = common_factor(remembered, met)
    outputs = remembered.scaled(factor**0.5)
    variance = ChannelStatistics(remembered.mean, remembered.variance * factor)
    larger = f"outputs are {factor**0.5:.3g} times as large as they were: {_SCALED}"
    wider = f"outputs vary {factor:.3g} times as much as they did: {_SPREAD}"
    pairs = ((outputs, larger), (variance, wider))
    best, words = min(pairs, key=lambda pair: median_divergence(pair[0], met))
    return words if _belong(best, met) else ""


def is_initial(item: NormStatistics) -> bool:
    """Whether the statistics are those before any training."""
    untouched = item.remembered.variance - EPS == 1
    return bool((item.remembered.mean == 0).all() and untouched.all())


def dead_channels(item: NormStatistics) -> torch.Tensor:
    """Channels (C,) that put out one value, and once did not."""
    remembered, met = item.remembered.variance - EPS, item.met.variance - EPS
    return (met < _DEAD * remembered) & (remembered > EPS)


def _donor(item: NormStatistics, others: Sequence[NormStatistics]) -> str:
    """The layer of the same width whose outputs these statistics fit; empty if there is none."""
    for other in others:
        same_width = len(other.met.mean) == len(item.met.mean)
        if same_width and other.name != item.name and _belong(item.remembered, other.met):
            return other.name
    return ""


def _belong(remembered: ChannelStatistics, met: ChannelStatistics) -> bool:
    near = median_divergence(remembered, met) < _FITS
    return near and mismatch(remembered, met)[0] < _OWN
