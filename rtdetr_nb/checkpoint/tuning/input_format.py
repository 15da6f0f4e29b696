"""Which pictures a backbone expects, and the stem rewritten for those that RT-DETRv2 feeds.

RT-DETRv2 feeds RGB pictures of values 0 to 1. A distillation that subtracted a mean and divided by
a standard deviation leaves a stem that expects just that; its first convolution and norm can be
rewritten so that the backbone computes the same from plain pictures, exactly but at the border.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isclose, isfinite
from typing import TYPE_CHECKING

from rtdetr_nb.errors import TuningError
from rtdetr_nb.text.suggestion import suggest

if TYPE_CHECKING:
    import torch

Triple = tuple[float, float, float]

STEM_WEIGHT = "stem.stem1.conv.weight"
STEM_BIAS = "stem.stem1.conv.bias"
STEM_MEAN = "stem.stem1.bn.running_mean"

_IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
_IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
_SAME = 1e-3  # figures of papers and configurations are rounded: 123.675 or 123.68


@dataclass(frozen=True)
class InputFormat:
    """What becomes of a picture before the backbone sees it: `(scale * picture - mean) / std`.

    Attributes:
        name: how tables call it.
        mean: of each channel, in the order that the backbone sees.
        std: of each channel, in that order.
        scale: 1 for values from 0 to 1, 255 for values from 0 to 255.
        order: "RGB" or "BGR".

    Raises:
        TuningError: a number is no number, `std` or `scale` is not positive, or the order is
            another one.
    """

    name: str
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    scale: float = 1.0
    order: str = "RGB"

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.std, self.scale)
        sizes = len(self.mean) == len(self.std) == 3
        positive = all(value > 0 for value in (*self.std, self.scale))
        if not (sizes and positive and all(map(isfinite, numbers)) and self.order in _ORDERS):
            raise TuningError(
                f"{self!r} is no input format. Expected three means, three positive standard "
                'deviations, a positive scale, and the order "RGB" or "BGR".'
            )

    @property
    def gain(self) -> Triple:
        """What each channel that the backbone sees is multiplied by, for pictures of 0 to 1."""
        first, second, third = (self.scale / std for std in self.std)
        return first, second, third

    @property
    def offset(self) -> Triple:
        """What is added to each channel afterwards."""
        first, second, third = (-m / s for m, s in zip(self.mean, self.std, strict=True))
        return first, second, third

    @property
    def is_plain(self) -> bool:
        """Whether these are the pictures that RT-DETRv2 feeds."""
        return self.same_as(FORMATS["zero_one"])

    def same_as(self, other: InputFormat) -> bool:
        """Whether both make the same of a picture, but for rounded figures."""
        mine, theirs = (*self.gain, *self.offset), (*other.gain, *other.offset)
        close = all(
            isclose(a, b, rel_tol=_SAME, abs_tol=_SAME) for a, b in zip(mine, theirs, strict=True)
        )
        return close and self.order == other.order

    def as_bgr(self) -> InputFormat:
        """The same figures for the same colours, with the channels in BGR order."""
        mean, std = self.mean[::-1], self.std[::-1]
        return replace(self, name=f"{self.name}_bgr", mean=mean, std=std, order="BGR")

    def inverse(self) -> InputFormat:
        """The format that makes plain pictures of those of this one."""
        sign = 1 if self.order == "RGB" else -1
        mean = tuple(-m / s for m, s in zip(self.mean, self.std, strict=True))[::sign]
        std = tuple(self.scale / s for s in self.std)[::sign]
        return InputFormat(f"inverse of {self.name}", mean, std, 1.0, self.order)  # pyright: ignore[reportArgumentType]

    def apply(self, pictures: torch.Tensor) -> torch.Tensor:
        """What the backbone sees of RGB pictures (..., 3, H, W) with values from 0 to 1."""
        import torch

        if self.order == "BGR":
            pictures = pictures.flip(-3)
        gain, offset = (pictures.new_tensor(v).view(3, 1, 1) for v in (self.gain, self.offset))
        return torch.addcmul(offset, pictures, gain)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON and for the provenance of a tuning file."""
        return {
            "name": self.name,
            "mean": list(self.mean),
            "std": list(self.std),
            "scale": self.scale,
            "order": self.order,
        }

    def __str__(self) -> str:
        if self.name in _TITLES:
            return _TITLES[self.name]
        mean, std = (" ".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
        top = f"values 0 to {self.scale:g}"
        return f"{self.order}, {top}, less {mean}, divided by {std}"


_ORDERS = ("RGB", "BGR")
_RGB = (
    InputFormat("zero_one"),
    InputFormat("imagenet", _IMAGENET_MEAN, _IMAGENET_STD),
    InputFormat("half", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    InputFormat("mean_only", _IMAGENET_MEAN),
    InputFormat("zero_255", scale=255.0),
    InputFormat("mean_only_255", (123.675, 116.28, 103.53), scale=255.0),
)

FORMATS: dict[str, InputFormat] = {
    known.name: known for known in (*_RGB, *(plain.as_bgr() for plain in _RGB))
}
"""The formats that have a name; each also as `..._bgr`."""

_WORDS = {
    "zero_one": "values 0 to 1",
    "imagenet": "ImageNet's mean and standard deviation",
    "half": "less one half, divided by one half",
    "mean_only": "values 0 to 1 less ImageNet's mean",
    "zero_255": "values 0 to 255",
    "mean_only_255": "values 0 to 255 less ImageNet's mean",
}
_TITLES = {
    name + ending: f"{order}, {words}"
    for name, words in _WORDS.items()
    for ending, order in (("", "RGB"), ("_bgr", "BGR"))
}


def named_format(wanted: InputFormat | str) -> InputFormat:
    """The input format of that name, or the one that was given.

    Raises:
        TuningError: there is none of that name.
    """
    if isinstance(wanted, InputFormat):
        return wanted
    if wanted in FORMATS:
        return FORMATS[wanted]
    hint = f" {suggest(wanted, FORMATS) or ''}".rstrip()
    raise TuningError(
        f"There is no input format {wanted!r}.{hint} The names are {', '.join(FORMATS)}; for other "
        "figures give an InputFormat."
    )


def canonical(found: InputFormat) -> InputFormat:
    """The format with a name that makes the same of a picture, or `found` itself."""
    return next((known for known in FORMATS.values() if known.same_as(found)), found)


def fold_into_stem(
    tensors: Mapping[str, torch.Tensor], input_format: InputFormat | str
) -> dict[str, torch.Tensor]:
    """Rewrite a stem that expects `input_format` for RGB pictures of values 0 to 1.

    `conv((x - mean) / std)` is the convolution with `weight / std`, lower by `sum(weight * mean /
    std)` over the inputs and taps. The norm subtracts its running mean, which takes up that
    constant; where the norm was fused into the convolution, the convolution's bias does.

    Args:
        tensors: by official names, with or without `backbone.` before them.
        input_format: what the backbone expects.

    Returns:
        All tensors under the same names; the weight and what takes up the constant are new,
        computed in float64.

    Raises:
        TuningError: the first convolution, or what takes up the constant, is not among them.
    """
    wanted = named_format(input_format)
    prefix = next((p for p in ("", "backbone.") if p + STEM_WEIGHT in tensors), None)
    if prefix is None:
        raise TuningError(
            f"An input format is folded into {STEM_WEIGHT}, which is not among the tensors. "
            "Select the stem too, or leave the input format out."
        )
    result = dict(tensors)
    if wanted.is_plain:
        return result
    weight = tensors[prefix + STEM_WEIGHT]
    exact = weight.double()
    gain, offset = (exact.new_tensor(v).view(1, 3, 1, 1) for v in (wanted.gain, wanted.offset))
    folded = exact * gain
    if wanted.order == "BGR":
        folded = folded.flip(1)
    result[prefix + STEM_WEIGHT] = folded.to(weight.dtype).contiguous()
    if any(wanted.mean):
        constant = (exact * offset).sum((1, 2, 3))
        taker, sign = _taker(tensors, prefix)
        value = tensors[taker]
        result[taker] = (value.double() + sign * constant).to(value.dtype)
    return result


def _taker(tensors: Mapping[str, torch.Tensor], prefix: str) -> tuple[str, float]:
    """The tensor that takes up the constant, and with which sign."""
    if prefix + STEM_MEAN in tensors:
        return prefix + STEM_MEAN, -1.0
    if prefix + STEM_BIAS in tensors:
        return prefix + STEM_BIAS, 1.0
    raise TuningError(
        f"An input format with a mean is folded into {STEM_MEAN} too, which is not among the "
        "tensors. Select the whole stem, or leave the input format out."
    )
