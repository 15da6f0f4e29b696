"""Are the values of a checkpoint fit to train from? Looks at numbers, not at names.

Needs numpy only: values are read as arrays, and types that numpy lacks are widened by their bits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.findings import FAILURE, WARNING, Finding
from rtdetr_nb.checkpoint.comparison.row import Row
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    import numpy as np

    from rtdetr_nb.checkpoint.checkpoint import Checkpoint
    from rtdetr_nb.checkpoint.comparison.diff import Diff

# A variance below this is lost in the norm's epsilon of 1e-5: the channel carried nothing, or its
# variance fell below what float16 can hold.
_TINY_VARIANCE = 1e-8
# Largest value over the median: trained layers stay around 10 to 200, flipped bits reach 1e30.
_OUTLIER_RATIO = 1000.0
_HALF_MAXIMUM = 65504.0
_SAMPLE_SIZE = 4096


def health(diff: Diff, rows: Iterable[Row] | None = None) -> list[Finding]:
    """Check the values that would be loaded: of `rows`, or of everything that fits.

    Returns:
        Findings on values that are not finite, all zero or constant, variances that are negative
        or vanish, outliers against the layer's own scale, norms that were never trained, and
        half-precision files.
    """
    chosen = [r for r in (diff.rows if rows is None else rows) if r.loadable and r.model_shape]
    trouble: dict[str, list[str]] = {}
    untouched = []
    for row, array in _arrays(diff.checkpoint, chosen):
        for kind in _troubles(row, array):
            trouble.setdefault(kind, []).append(_name(row))
        if row.fix is None and _name(row).endswith((".bn.running_mean", ".bn.running_var")):
            untouched.append(_is_constant(array, 0.0 if "mean" in _name(row) else 1.0))
    findings = [_finding(kind, names) for kind, names in trouble.items()]
    if untouched and all(untouched):
        findings.append(
            Finding(
                WARNING,
                "All norms have mean 0 and variance 1, their values before any training.",
                "running_mean, running_var",
                "Either the backbone was never trained or its statistics were lost on the way.",
                "Compare with another file of the same distillation.",
            )
        )
    return findings + _precision(chosen)


def _arrays(checkpoint: Checkpoint, rows: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray]]:
    """Yield each row with its values as floats, after the fix that they will get."""
    import numpy as np

    keys = [row.checkpoint_key for row in rows if row.checkpoint_key is not None]
    for row, (key, array) in zip(rows, checkpoint.iterate_numpy(keys), strict=True):
        if row.dtype == "bfloat16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        elif row.dtype.startswith("float8"):
            array = checkpoint.read([key])[key].float().numpy()
        elif array.dtype.kind != "f":
            continue
        if row.fix is not None:
            array = row.fix.apply(array.astype(np.float64))
        yield row, array


def _troubles(row: Row, array: np.ndarray) -> list[str]:
    """Name what is wrong with one tensor; values that are not finite hide all else."""
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
    """Median of the magnitudes that are not zero, over a regular sample of large tensors."""
    import numpy as np

    sample = array.reshape(-1)[:: max(1, array.size // _SAMPLE_SIZE)].astype(np.float64)
    sample = np.abs(sample[sample != 0])
    # Not numpy.median, whose first call loads a package of its own.
    middle = sample.size // 2
    return float(np.partition(sample, middle)[middle]) if sample.size else math.inf


def _is_constant(array: np.ndarray, value: float) -> bool:
    return bool((array == value).all())


def _name(row: Row) -> str:
    return row.model_key or ""


_DESCRIPTIONS: dict[str, tuple[str, str, str, str]] = {
    "not finite": (
        FAILURE,
        "values that are infinite or not a number.",
        "One such value spreads to every output.",
        "Take an earlier checkpoint, from before the training diverged (or, if the file is in "
        "half precision, one in float32: large values overflow to infinity).",
    ),
    "negative variance": (
        WARNING,
        "a negative running variance.",
        "Its square root is not a number, and so is every output.",
        "The file is damaged or was averaged wrongly; take another one.",
    ),
    "tiny variance": (
        WARNING,
        f"a running variance below {_TINY_VARIANCE:g}.",
        "Channels without variance carried nothing, or lost it to half precision; they are "
        "amplified by up to 1/sqrt(1e-5) = 316.",
        "Look whether the file was cast to half precision; take the float32 one if there is one.",
    ),
    "all zero": (
        WARNING,
        "the value zero throughout.",
        "These layers pass nothing on.",
        "Look whether the layers were pruned or never saved.",
    ),
    "constant": (
        WARNING,
        "one value throughout.",
        "A trained convolution never does: it may be a placeholder.",
        "Look how the file was exported.",
    ),
    "outliers": (
        WARNING,
        f"values more than {_OUTLIER_RATIO:g} times the median of their layer.",
        "Damaged files and diverging runs look like this.",
        "Compare with another checkpoint of the same run.",
    ),
    "saturated": (
        WARNING,
        "the largest value that float16 can represent.",
        "Larger values were clipped when the file was cast.",
        "Take the float32 file if there is one.",
    ),
}


def _finding(kind: str, names: Sequence[str]) -> Finding:
    level, what, why, action = _DESCRIPTIONS[kind]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Finding(
        level, f"{counted(len(names), 'tensor has', 'tensors have')} {what}", shown, why, action
    )


def _precision(rows: Iterable[Row]) -> list[Finding]:
    counts = Counter(row.dtype for row in rows)
    findings = [
        Finding(
            WARNING,
            f"{counted(count, 'tensor is', 'tensors are')} stored as {dtype}: "
            "the file is quantised.",
            why="Whole numbers mean nothing without the scales that belong to them.",
            action="Take the file from before the quantisation.",
        )
        for dtype, count in counts.items()
        if "int" in dtype
    ]
    return findings + [
        Finding(
            WARNING,
            f"{counted(count, 'tensor is', 'tensors are')} stored as {dtype} and cast to float32.",
            why="The precision that the cast to the file took is lost: features differ by "
            + ("about 0.1 to 0.5 %." if dtype == "float16" else "about 1 to 5 %."),
            action="Take the float32 weights if they exist; else go on, training makes up for it.",
        )
        for dtype, count in counts.items()
        if dtype.startswith(("float16", "bfloat16", "float8"))
    ]
