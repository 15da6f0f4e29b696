"""The proof that a rewritten stem computes the same: on pictures, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.tuning.input_format import STEM_WEIGHT, InputFormat
from rtdetr_nb.errors import TuningError

if TYPE_CHECKING:
    import torch

_NORM = "stem.stem1.bn"
_EPS = 1e-5
_PICTURES, _SIZE = 4, 96
_TOLERANCE = 1e-4  # relative; rounding of the weights to float32 stays below 1e-6


@dataclass(frozen=True)
class StemProof:
    """The mended stem on plain pictures against the original one on pictures of its own format.

    Attributes:
        input_format: what was folded in.
        folded: names of the tensors that were changed.
        pictures: how many were tried.
        difference: largest difference of the first norm's outputs away from the border, relative to
            the largest output.
        border: the same on the border, where zero padding now means black.
    """

    input_format: InputFormat
    folded: tuple[str, ...]
    pictures: int
    difference: float
    border: float

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON and for the provenance of a tuning file."""
        return {
            **self.input_format.to_dict(),
            "folded": list(self.folded),
            "pictures": self.pictures,
            "difference": self.difference,
            "border": self.border,
        }

    def __str__(self) -> str:
        changed = " and ".join(self.folded)
        what = f"folded into {changed}" if changed else "needs no folding"
        return (
            f"{self.input_format} {what}: on {self.pictures} pictures the stem "
            f"differs by at most {self.difference:.1e} of its largest output (on the border, where "
            f"zero padding now means black, by {self.border:.1e})"
        )


def prove_stem(
    original: Mapping[str, torch.Tensor],
    mended: Mapping[str, torch.Tensor],
    input_format: InputFormat,
    pictures: torch.Tensor | None = None,
) -> StemProof:
    """Compare a stem's first layer before and after an input format was folded into it.

    Args:
        original: its tensors by official names, with or without `backbone.`.
        mended: the same after folding.
        input_format: what the original expects.
        pictures: RGB (N, 3, H, W), values 0 to 1; tried beside generated ones, of their size.

    Raises:
        TuningError: the two do not compute the same.
    """
    import torch

    before, after = _bare(original), _bare(mended)
    inner, whole, outputs = [], [], []
    tried = [_generated_pictures(), *([] if pictures is None else [pictures])]
    with torch.no_grad():
        for images in tried:
            plain = images.double()
            wanted = _first_layer(before, input_format.apply(plain))
            found = _first_layer(after, plain)
            gap = (wanted - found).abs()
            outputs.append(wanted.abs().max())
            whole.append(gap.max())
            inner.append(gap[..., 1:-1, 1:-1].max())
    # Not Python's max, which may drop a value that is not a number.
    largest, border, difference = (torch.stack(v).max().item() for v in (outputs, whole, inner))
    scale = largest or 1.0
    if not difference / scale <= _TOLERANCE:
        raise TuningError(
            f"The stem could not be rewritten for {input_format}: its outputs differ by "
            f"{difference / scale:.1e} of the largest. Are its values finite? `rtdetr-nb diff` "
            "says."
        )
    changed = tuple(n for n in before if not torch.equal(before[n], after[n]))
    count = sum(len(images) for images in tried)
    return StemProof(input_format, changed, count, difference / scale, border / scale)


def _bare(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    named = {name.removeprefix("backbone."): value for name, value in tensors.items()}
    return {name: value for name, value in named.items() if name.startswith("stem.stem1.")}


def _first_layer(stem: Mapping[str, torch.Tensor], pictures: torch.Tensor) -> torch.Tensor:
    """First convolution and norm, (N, 3, H, W) to (N, C, H / 2, W / 2), in float64.

    What is not among the tensors (of a selection without the norm) counts as the identity.
    """
    from torch.nn.functional import batch_norm, conv2d

    weight = stem[STEM_WEIGHT].double()
    y = conv2d(pictures, weight, stride=2, padding=1)
    zeros, ones = y.new_zeros(len(weight)), y.new_ones(len(weight))
    defaults = {"running_mean": zeros, "running_var": ones, "weight": ones, "bias": zeros}
    mean, variance, gain, shift = (
        stem[f"{_NORM}.{leaf}"].double() if f"{_NORM}.{leaf}" in stem else value
        for leaf, value in defaults.items()
    )
    return batch_norm(y, mean, variance, gain, shift, eps=_EPS)


def _generated_pictures() -> torch.Tensor:
    """Noise, a ramp of each channel, black and white: all that a linear layer can tell apart."""
    import torch

    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(_PICTURES, 3, _SIZE, _SIZE, generator=generator)
    ramp = torch.linspace(0, 1, _SIZE).expand(_SIZE, _SIZE)
    pictures[1] = torch.stack([ramp, ramp.T, 1 - ramp])
    pictures[2], pictures[3] = 0.0, 1.0
    return pictures
