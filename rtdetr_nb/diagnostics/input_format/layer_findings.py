"""From the fit of all norms to findings on layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from statistics import median

from rtdetr_nb.diagnostics.input_format.norm_fit import STRANGE, NormFit
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding
from rtdetr_nb.text.plain_text import counted

_MOST = 0.25  # share of the norms from which on the backbone as a whole is spoilt
_ALL_OFF = 0.1  # median divergence over all norms; sound backbones stay below 0.02


def layer_findings(fits: Sequence[NormFit], is_detector: bool = False) -> list[Finding]:
    """Name the first layer that does not fit its norm, how many there are, and the cause.

    Args:
        fits: every norm, from the stem to the last stage.
        is_detector: a trained encoder and decoder lie around the backbone. Frozen norms keep old
            statistics while the convolutions are trained, so that what does not fit is a note.
    """
    broken = [fit for fit in fits if fit.is_broken]
    off = _all_off(fits, is_detector)
    if off or not broken:
        return off
    first = broken[0]
    level = FAILURE if len(broken) > _MOST * len(fits) else WARNING
    return [
        Finding(
            NOTE if is_detector else level,
            f"{counted(len(broken), 'norm')} of {len(fits)} hold statistics that "
            f"{'its layer does' if len(broken) == 1 else 'their layers do'} not put out, on "
            f"any pictures: {_extent(broken, fits)}.",
            first.name,
            f"In {first.name} {first.cause}{_other_causes(broken)}.",
            "In a detector that was trained with frozen norms this is normal."
            if is_detector
            else "Look at report.layers and report.figure(), and compare with another file.",
        )
    ]


def _extent(broken: Sequence[NormFit], fits: Sequence[NormFit]) -> str:
    """Which parts, and how much of each."""
    total = Counter(fit.part for fit in fits)
    found = Counter(fit.part for fit in broken)
    return ", ".join(f"{count} of {total[part]} in {part}" for part, count in found.items())


def _other_causes(broken: Sequence[NormFit]) -> str:
    others = Counter(fit.cause for fit in broken[1:] if fit.cause != broken[0].cause)
    if not others:
        return ""
    cause, count = others.most_common(1)[0]
    return f"; of the others, in {counted(count, 'layer')} {cause}"


def _all_off(fits: Sequence[NormFit], is_detector: bool) -> list[Finding]:
    """All layers are off by much the same, although their channels are in their places."""
    if not fits or not all(isfinite(fit.divergence) for fit in fits):
        return []
    middle = median(fit.divergence for fit in fits)
    if middle <= _ALL_OFF or median(fit.mismatch for fit in fits) > STRANGE / 2:
        return []
    return [
        Finding(
            NOTE if is_detector else WARNING,
            f"All {len(fits)} norms are off by about as much (median divergence {middle:.2g}; "
            "sound backbones stay below 0.02).",
            "running_mean, running_var",
            "The statistics were scaled, averaged, or kept while the convolutions changed.",
            "Compare with another file of the same training.",
        )
    ]
