"""Does each layer belong to its norm? Where it does not, which is the first, and why probably."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from rtdetr_nb.diagnostics.input_format.layer_causes import dead_channels, probable_cause
from rtdetr_nb.diagnostics.measuring.divergence import median_divergence, mismatch
from rtdetr_nb.diagnostics.measuring.norm_statistics import FIRST, NormStatistics

# Measured on sound and broken backbones; docs/input_format.md has the figures.
FAR = 0.25
"""A median divergence above this is an alarm; sound layers stay below 0.15."""
FAR_FIRST = 4.0
"""The same for the stem's first norm: other pictures alone reach 1.3."""
STRANGE = 0.5
"""A mismatch above this is an alarm; sound layers stay below 0.3."""
_TELLING_SPREAD = 0.01  # channels that differ less than this cannot be told apart
_MANY_DEAD = 0.05  # share of the channels


@dataclass(frozen=True)
class NormFit:
    """How well one norm's statistics fit what its layer puts out.

    Attributes:
        name: of the layer ("stages.1.blocks.0.layers.3").
        channels: of its output.
        divergence: median symmetric Kullback-Leibler divergence over the channels.
        mismatch: 0 where each channel meets its own statistics, 1 where it meets those of any.
        spread: how far the channels differ at all; with little, `mismatch` says nothing.
        dead: channels without output that once had some.
        on_pictures: divergence on the pictures that were given; without any, on generated ones.
        is_first: whether this is the stem's first norm, which no norm before it shields from the
            kind of pictures.
        cause: the probable cause where the layer is broken, in words.
    """

    name: str
    channels: int
    divergence: float
    mismatch: float
    spread: float
    dead: int
    on_pictures: float
    is_first: bool = False
    cause: str = ""

    @property
    def part(self) -> str:
        """ "stem" or "stages.0" to "stages.3"."""
        words = self.name.split(".")
        return words[0] if words[0] == "stem" else ".".join(words[:2])

    @property
    def is_broken(self) -> bool:
        """Whether layer and norm do not belong together, on any pictures."""
        strange = self.mismatch > STRANGE and self.spread >= _TELLING_SPREAD
        if not isfinite(self.divergence):
            return True
        far = self.divergence > (FAR_FIRST if self.is_first else FAR)
        return far or strange or self.dead >= _MANY_DEAD * self.channels


def fit_norms(
    given: Sequence[NormStatistics], generated: Sequence[NormStatistics]
) -> tuple[NormFit, ...]:
    """Judge every norm on two sets of pictures, those given and generated ones.

    Pictures of another kind than those of the training raise the figures, so a layer only counts
    as broken where it fits neither set.
    """
    pairs = list(zip(given, generated, strict=True))
    fits = [_fit(pair) for pair in pairs]
    return tuple(
        replace(fit, cause=probable_cause(pair[0], given)) if fit.is_broken else fit
        for fit, pair in zip(fits, pairs, strict=True)
    )


def _fit(pair: tuple[NormStatistics, NormStatistics]) -> NormFit:
    divergences = [median_divergence(item.remembered, item.met) for item in pair]
    ratio, spread = min(mismatch(item.remembered, item.met) for item in pair)
    return NormFit(
        name=pair[0].name,
        channels=len(pair[0].remembered.mean),
        divergence=min(divergences),
        mismatch=ratio,
        spread=spread,
        dead=min(int(dead_channels(item).sum()) for item in pair),
        on_pictures=divergences[0],
        is_first=pair[0].name == FIRST,
    )
