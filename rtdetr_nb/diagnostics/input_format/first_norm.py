"""The first norm of the stem: which pictures do its statistics remember?

It holds mean and variance of the first convolution's outputs over the pictures of the training. An
input format changes these pictures channel by channel, and the convolution is linear: from the mean
and covariance of the patches that it sees, its statistics follow for every format at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rtdetr_nb.checkpoint.tuning.input_format import (
    FORMATS,
    STEM_WEIGHT,
    InputFormat,
    fold_into_stem,
)
from rtdetr_nb.diagnostics.measuring.divergence import ChannelStatistics, kullback_leibler

_STRIDE = 2  # of the first convolution
# Photographs have about this mean and standard deviation, whatever they show.
_USUAL_MEAN, _USUAL_STD = 0.45, 0.25
_TELLS = 2.0  # a hypothesis is taken where the next one lies at least so many times as far
_FLOOR = 0.02  # distances below this are all alike: so far apart are sound layers
_NORM = "stem.stem1.bn"


@dataclass(frozen=True)
class PatchMoments:
    """Mean (27,) and covariance (27, 27) of the patches that a 3 x 3 convolution sees; float64."""

    mean: Tensor
    covariance: Tensor

    def at_usual_light(self) -> PatchMoments:
        """Those of the same pictures with the brightness and contrast of usual photographs.

        Dark pictures under one format look like usual ones under another. What a norm remembers
        need not be as dark, so both are compared.
        """
        variances = self.covariance.diagonal().view(3, 9).mean(dim=1)
        gain = (_USUAL_STD / variances.sqrt().clamp(min=1e-6)).repeat_interleave(9)
        mean = torch.full_like(self.mean, _USUAL_MEAN)
        return PatchMoments(mean, self.covariance * gain[:, None] * gain)


def patch_moments(pictures: Iterable[Tensor]) -> PatchMoments:
    """Moments over RGB pictures (3, H, W) of values 0 to 1; what touches a border is left out."""
    count, total, products = 0, torch.zeros(27).double(), torch.zeros(27, 27).double()
    for picture in pictures:
        patches = F.unfold(picture[None].double(), 3, stride=_STRIDE)[0]  # (27, patches)
        count += patches.shape[1]
        total += patches.sum(dim=1)
        products += patches @ patches.T
    mean = total / count
    return PatchMoments(mean, products / count - mean[:, None] * mean)


@dataclass(frozen=True)
class Hypothesis:
    """One input format, and how far the norm's statistics are from those that it would give.

    Attributes:
        format: the input format.
        divergence: median over the channels on the pictures as they are.
        usual_light: the same with the pictures' brightness and contrast set to the usual ones.
        channels: divergence of each channel, for the nearer of the two.
    """

    format: InputFormat
    divergence: float
    usual_light: float
    channels: Tensor

    @property
    def distance(self) -> float:
        """The nearer of the two, which is judged."""
        return min(self.divergence, self.usual_light)


def weigh_formats(
    tensors: Mapping[str, Tensor],
    moments: PatchMoments,
    formats: Iterable[InputFormat] = tuple(FORMATS.values()),
) -> list[Hypothesis]:
    """Weigh input formats by the first norm, the nearest first.

    Args:
        tensors: those of the stem by official names without `backbone.`.
        moments: of the pictures.
        formats: the hypotheses.
    """
    mean, variance = (tensors[f"{_NORM}.running_{leaf}"] for leaf in ("mean", "var"))
    stem = {STEM_WEIGHT: tensors[STEM_WEIGHT].double(), f"{_NORM}.running_mean": mean.double()}
    lights = (moments, moments.at_usual_light())
    return sorted(
        (_weigh(stem, variance, wanted, lights) for wanted in formats),
        key=lambda hypothesis: hypothesis.distance,
    )


def _weigh(
    stem: Mapping[str, Tensor],
    variance: Tensor,
    wanted: InputFormat,
    lights: Iterable[PatchMoments],
) -> Hypothesis:
    folded = fold_into_stem(stem, wanted)
    weight = folded[STEM_WEIGHT].flatten(1)  # (C, 27)
    remembered = ChannelStatistics.of(folded[f"{_NORM}.running_mean"], variance)
    channels = []
    for light in lights:
        spread = ((weight @ light.covariance) * weight).sum(dim=1)
        met = ChannelStatistics.of(weight @ light.mean, spread)
        channels.append(kullback_leibler(remembered, met))
    medians = [values.median().item() for values in channels]
    nearer = channels[medians.index(min(medians))]
    return Hypothesis(wanted, medians[0], medians[1], nearer)


@dataclass(frozen=True)
class FormatJudgement:
    """What the first norm says.

    Attributes:
        hypotheses: all of them, the nearest first.
        ratio: how many times as far the nearest hypothesis of another scale or normalisation lies.
        order_ratio: the same for the nearest format with its channels in the other order.
    """

    hypotheses: tuple[Hypothesis, ...]
    ratio: float
    order_ratio: float

    @property
    def is_decided(self) -> bool:
        """Whether scale and normalisation are told."""
        return self.ratio >= _TELLS

    def times(self, wanted: InputFormat) -> float:
        """How many times as far as the nearest hypothesis a format lies, in the nearer order."""
        either = (wanted, in_other_order(wanted))
        distances = [
            h.distance for h in self.hypotheses if any(h.format.same_as(f) for f in either)
        ]
        return times_as_far(min(distances), self.hypotheses[0].distance)

    def allows(self, wanted: InputFormat) -> bool:
        """Whether the norm does not speak against this format, in either order."""
        return self.times(wanted) < _TELLS

    @property
    def plausible(self) -> tuple[InputFormat, ...]:
        """The formats that the norm does not speak against, the nearest first."""
        return tuple(h.format for h in self.hypotheses if self.allows(h.format))

    @property
    def order_is_decided(self) -> bool:
        """Whether RGB is told from BGR."""
        return self.order_ratio >= _TELLS

    @property
    def found(self) -> InputFormat | None:
        """The format, in RGB order where the order is not told; None if nothing is."""
        nearest = self.hypotheses[0].format
        if not self.is_decided:
            return None
        turn = nearest.order == "BGR" and not self.order_is_decided
        return in_other_order(nearest) if turn else nearest


def judge_formats(hypotheses: Iterable[Hypothesis]) -> FormatJudgement:
    """Compare the nearest hypothesis with the next ones."""
    ranked = tuple(hypotheses)
    nearest = ranked[0]
    other = in_other_order(nearest.format)
    turned = next((h for h in ranked if h.format.same_as(other)), None)
    rest = [h for h in ranked if h is not nearest and h is not turned]
    ratio = times_as_far(rest[0].distance, nearest.distance) if rest else 0.0
    order = times_as_far(turned.distance, nearest.distance) if turned else 0.0
    return FormatJudgement(ranked, ratio, order)


def times_as_far(distance: float, nearest: float) -> float:
    """The ratio of two distances, 1 where both are too small to be told apart."""
    return max(distance, _FLOOR) / max(nearest, _FLOOR)


def in_other_order(wanted: InputFormat) -> InputFormat:
    """The same format with its channels in the other order."""
    if wanted.order == "RGB":
        return wanted.as_bgr()
    plain = wanted.as_bgr()  # turned once more
    return replace(plain, name=wanted.name.removesuffix("_bgr"), order="RGB")
