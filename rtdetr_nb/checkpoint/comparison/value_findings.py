"""Findings on the values of a checkpoint: whether they are fit to train from.

Needs numpy only: values are read as arrays, and types that numpy lacks are widened by their bits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import Row
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check, Finding, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from rtdetr_nb.checkpoint.checkpoint import Checkpoint
    from rtdetr_nb.checkpoint.comparison.diff import Diff

# The norm's epsilon of 1e-5 hides a variance below this: the channel carried nothing, or its
# variance was too small for float16.
_TINY_VARIANCE = 1e-8
# Largest value over the median: trained layers stay around 10 to 200, flipped bits reach 1e30.
_OUTLIER_RATIO = 1000.0
_HALF_MAXIMUM = 65504.0
_SAMPLE_SIZE = 4096


@dataclass(frozen=True)
class ValueCase:
    """What a look at the values found.

    Attributes:
        troubles: the names of the tensors that have each trouble.
        untrained: whether all norms have the statistics that they have before any training.
        dtypes: number of tensors of each type in the file.
    """

    troubles: Mapping[str, Sequence[str]]
    untrained: bool
    dtypes: Mapping[str, int]

    def tell(self, trouble: str, what: str, why: str, action: str) -> Iterator[Words]:
        """Yield the words on a trouble, if any tensor has it."""
        names = self.troubles.get(trouble, ())
        if names:
            count = counted(len(names), "tensor has", "tensors have")
            yield Words(f"{count} {what}", first_of(names), why, action)


def value_findings(
    diff: Diff,
    rows: Iterable[Row] | None = None,
    values: Mapping[str, torch.Tensor] | None = None,
) -> list[Finding]:
    """Check the values that would be loaded: of `rows`, or of everything that fits.

    Args:
        diff: the comparison.
        rows: rows of it.
        values: the values by model name, if they are in memory; else they are read one by one.

    Returns:
        Findings on values that are not finite, all zero or constant, variances that are negative
        or vanish, outliers against the layer's own scale, norms that were never trained, and
        half-precision files.
    """
    chosen = [r for r in (diff.rows if rows is None else rows) if r.loadable and r.model_shape]
    floating = [row for row in chosen if "float" in row.dtype]
    arrays = (
        _read_arrays(diff.checkpoint, floating)
        if values is None
        else ((row, values[_name(row)].numpy()) for row in floating)
    )
    case = _look(arrays, Counter(row.dtype for row in chosen))
    return [finding for each in VALUE_CHECKS for finding in each(case)]


def _look(arrays: Iterable[tuple[Row, np.ndarray]], dtypes: Mapping[str, int]) -> ValueCase:
    """Look at each tensor once."""
    troubles: dict[str, list[str]] = {}
    untouched = []
    for row, array in arrays:
        for trouble in _troubles(row, array):
            troubles.setdefault(trouble, []).append(_name(row))
        if row.fix is None and _name(row).endswith((".bn.running_mean", ".bn.running_var")):
            untouched.append(_is_constant(array, 0.0 if "mean" in _name(row) else 1.0))
    return ValueCase(troubles, bool(untouched) and all(untouched), dtypes)


def _read_arrays(checkpoint: Checkpoint, rows: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray]]:
    """Yield each row with its values as floats, after the fix that they will get."""
    import numpy as np

    keys = [row.checkpoint_key for row in rows if row.checkpoint_key is not None]
    for row, (key, array) in zip(rows, checkpoint.iterate_numpy(keys), strict=True):
        if row.dtype == "bfloat16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        elif row.dtype.startswith("float8"):
            array = checkpoint.read([key])[key].float().numpy()
        if row.fix is not None:
            array = row.fix.apply(array.astype(np.float64))
        yield row, array


def _troubles(row: Row, array: np.ndarray) -> list[str]:
    """Name the troubles of one tensor; if values are not finite, nothing else is looked for."""
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return ["not finite"]
    found = []
    if row.dtype == "float16" and max(-low, high) >= _HALF_MAXIMUM:
        found.append("saturated")
    name = _name(row)
    if name.endswith("running_var"):
        if low < 0:
            found.append("negative variance")
        elif low < _TINY_VARIANCE:
            found.append("tiny variance")
        return found
    if not name.startswith(BACKBONE):
        # Fresh heads hold zeros and constants on purpose.
        return found
    is_scale = name.endswith(".bn.weight")
    if low == high == 0 and (array.ndim > 1 or is_scale):
        found.append("all zero")
    elif low == high and array.ndim > 1 and array.size > 1:
        found.append("constant")
    elif array.ndim > 1 and max(-low, high) > _OUTLIER_RATIO * _median_magnitude(array):
        found.append("outliers")
    return found


def _median_magnitude(array: np.ndarray) -> float:
    """Return the median magnitude of values that are not zero; large tensors are sampled."""
    import numpy as np

    sample = array.reshape(-1)[:: max(1, array.size // _SAMPLE_SIZE)].astype(np.float64)
    sample = np.abs(sample[sample != 0])
    # numpy.median would import another package when it is first called.
    middle = sample.size // 2
    return float(np.partition(sample, middle)[middle]) if sample.size else math.inf


def _is_constant(array: np.ndarray, value: float) -> bool:
    return bool((array == value).all())


def _name(row: Row) -> str:
    return row.model_key or ""


@check(FAILURE)
def not_finite(case: ValueCase) -> Iterator[Words]:
    """Values are infinite or not a number, and spread to every output."""
    yield from case.tell(
        "not finite",
        "values that are infinite or not a number.",
        "One such value spreads to every output.",
        "Take an earlier checkpoint, from before the training diverged (or, if the file is in "
        "half precision, one in float32: large values overflow to infinity).",
    )


@check(WARNING)
def negative_variance(case: ValueCase) -> Iterator[Words]:
    """A running variance is negative, and its square root is not a number."""
    yield from case.tell(
        "negative variance",
        "a negative running variance.",
        "Its square root is not a number, and so is every output.",
        "The file is damaged or was averaged wrongly; take another one.",
    )


@check(WARNING)
def tiny_variance(case: ValueCase) -> Iterator[Words]:
    """A running variance vanishes: the channel carried nothing, or half precision lost it."""
    yield from case.tell(
        "tiny variance",
        f"a running variance below {_TINY_VARIANCE:g}.",
        "Channels without variance carried nothing, or lost it to half precision; they are "
        "amplified by up to 1/sqrt(1e-5) = 316.",
        "Check whether the file was cast to half precision; take the float32 one if there is one.",
    )


@check(WARNING)
def all_zero(case: ValueCase) -> Iterator[Words]:
    """A convolution or the scale of a norm is zero throughout and passes nothing on."""
    yield from case.tell(
        "all zero",
        "the value zero throughout.",
        "These layers pass nothing on.",
        "Check whether the layers were pruned or never saved.",
    )


@check(WARNING)
def constant(case: ValueCase) -> Iterator[Words]:
    """A convolution has one value throughout, which no training leaves behind."""
    yield from case.tell(
        "constant",
        "one value throughout.",
        "A trained convolution has many: this one may be a placeholder.",
        "Check how the file was exported.",
    )


@check(WARNING)
def outliers(case: ValueCase) -> Iterator[Words]:
    """A few values are far beyond their layer's scale, as in damaged files and diverging runs."""
    yield from case.tell(
        "outliers",
        f"values more than {_OUTLIER_RATIO:g} times the median of their layer.",
        "Damaged files and diverging runs look like this.",
        "Compare with another checkpoint of the same run.",
    )


@check(WARNING)
def saturated(case: ValueCase) -> Iterator[Words]:
    """Values are the largest that float16 can represent: the cast clipped them."""
    yield from case.tell(
        "saturated",
        "the largest value that float16 can represent.",
        "Larger values were clipped when the file was cast.",
        "Take the float32 file if there is one.",
    )


@check(WARNING)
def untrained_norms(case: ValueCase) -> Iterator[Words]:
    """All norms have the statistics that they have before any training."""
    if case.untrained:
        yield Words(
            "All norms have mean 0 and variance 1, their values before any training.",
            "running_mean, running_var",
            "Either the backbone was never trained or its statistics were lost on the way.",
            "Compare with another file of the same distillation.",
        )


@check(NOTE)
def reduced_precision(case: ValueCase) -> Iterator[Words]:
    """Weights are stored in 16 or 8 bits, and the lost digits stay lost.

    A warning unless they are float16 and no value was too large or too small for it.
    """
    lost = any(case.troubles.get(each) for each in ("not finite", "saturated", "tiny variance"))
    for dtype, count in case.dtypes.items():
        if dtype.startswith(("float16", "bfloat16", "float8")):
            half = dtype == "float16"
            yield Words(
                f"{counted(count, 'tensor is', 'tensors are')} stored as {dtype} and cast to "
                "float32.",
                why="Saving as {} has cost precision: features differ by about {} %.{}".format(
                    dtype,
                    "0.1 to 0.5" if half else "1 to 5",
                    " No value was too large or too small for it." if half and not lost else "",
                ),
                action="Take the float32 weights if they exist; else go on, training makes up for "
                "it.",
                level=NOTE if half and not lost else WARNING,
            )


VALUE_CHECKS: tuple[Check[ValueCase], ...] = (
    not_finite,
    negative_variance,
    tiny_variance,
    all_zero,
    constant,
    outliers,
    saturated,
    untrained_norms,
    reduced_precision,
)
"""All findings from values, in the order in which they are shown."""
