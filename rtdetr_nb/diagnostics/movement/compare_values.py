"""Two checkpoints against each other: how far apart the values of their backbones are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import is_bookkeeping, part_of
from rtdetr_nb.checkpoint.tuning.proof import bit_equal
from rtdetr_nb.diagnostics.measuring.weights import BackboneWeights, Weights, read_backbone
from rtdetr_nb.diagnostics.movement.values_report import Distance, ValuesReport
from rtdetr_nb.errors import CheckpointError
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

_STATISTIC = re.compile(r"\.running_(mean|var)$")
# The end of a name inside its layer: "conv.weight", "bn.running_var".
_INSIDE_LAYER = re.compile(r"(\.(conv(\.1)?|bn|lab))?\.\w+$")
_UNRELATED = 0.1  # cosine of convolutions that have nothing to do with each other: 0.00 +- 0.01


def compare_values(a: Weights, b: Weights) -> ValuesReport:
    """Compare two backbones layer by layer: epoch 12 with 24, EMA with raw, before with after.

    Names and dialects may differ; values are compared by official names. Of one file with several
    backbones give two candidates: `compare_values(*ckpt.candidates[:2])`.

    Args:
        a: the first: a file, or what was opened, compared or selected from it.
        b: the second, which is told as seen from the first.

    Returns:
        For each layer and part the norm of b - a over the norm of a (`distance`, 0 for equal), the
        cosine of the angle between the two as vectors, and both norms; norms' statistics apart.

    Raises:
        CheckpointError: a file has no backbone, or the two have no tensor of the same name and
            shape.
    """
    first, second = read_backbone(a), read_backbone(b)
    mine, other = _weights(first), _weights(second)
    both = [n for n in mine if n in other and mine[n].shape == other[n].shape]
    if not both:
        raise CheckpointError(
            f"{_label(first)} is HGNetv2-{first.variant} and {_label(second)} HGNetv2-"
            f"{second.variant}; they have no tensor of the same name and shape. Give two files of "
            "one size."
        )
    layers = tuple(_distances(both, mine, other, lambda name: _INSIDE_LAYER.sub("", name)))
    parts = tuple(_distances(both, mine, other, lambda name: part_of(BACKBONE + name)))
    (whole,) = _distances(both, mine, other, lambda name: "backbone")
    names = _names(first, second)
    findings = [
        *_not_compared(names, mine, other),
        *_not_finite(layers, names),
        *_relation(whole, parts),
    ]
    return ValuesReport(*names, whole, parts, layers, tuple(findings))


def _weights(backbone: BackboneWeights) -> dict[str, Tensor]:
    return {n: v for n, v in backbone.tensors.items() if not is_bookkeeping(BACKBONE + n)}


def _label(backbone: BackboneWeights) -> str:
    return backbone.checkpoint.path.name


def _names(first: BackboneWeights, second: BackboneWeights) -> tuple[str, str]:
    """What to call the two: the files, or the candidates of one file."""
    if _label(first) != _label(second):
        return _label(first), _label(second)
    if first.checkpoint.path != second.checkpoint.path:
        return str(first.checkpoint.path), str(second.checkpoint.path)
    return first.candidate.name, second.candidate.name


def _distances(
    names: Iterable[str],
    mine: dict[str, Tensor],
    other: dict[str, Tensor],
    group_of: Callable[[str], str],
) -> Iterator[Distance]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group_of(name), []).append(name)
    for group, own in groups.items():
        weights = [name for name in own if not _STATISTIC.search(name)]
        statistics = [name for name in own if _STATISTIC.search(name)]
        squares = _sums(weights, mine, other)
        yield Distance(
            name=group,
            part=part_of(BACKBONE + own[0]),
            tensors=len(own),
            identical=sum(bit_equal(mine[name], other[name]) for name in own),
            squares=squares,
            statistics=_sums(statistics, mine, other) if statistics else None,
        )


def _sums(
    names: Iterable[str], mine: dict[str, Tensor], other: dict[str, Tensor]
) -> tuple[float, float, float, float]:
    """Sums of squares of a, of b and of b - a, and of products, in double precision."""
    sums = [0.0, 0.0, 0.0, 0.0]
    for name in names:
        one, two = mine[name].double(), other[name].double()
        for place, value in enumerate((one * one, two * two, (two - one) ** 2, one * two)):
            sums[place] += float(value.sum())
    return sums[0], sums[1], sums[2], sums[3]


def _not_compared(
    names: tuple[str, str], mine: dict[str, Tensor], other: dict[str, Tensor]
) -> Iterator[Finding]:
    for label, held, there in ((names[0], mine, other), (names[1], other, mine)):
        alone = [name for name in held if name not in there]
        if alone:
            what = f"{counted(len(alone), 'tensor')} in {label} only."
            yield Finding(WARNING, what, first_of(alone), "They are not compared.")
    unlike = [n for n in mine if n in other and mine[n].shape != other[n].shape]
    if unlike:
        what = f"{counted(len(unlike), 'tensor has', 'tensors have')} another shape in the other."
        yield Finding(
            WARNING, what, first_of(unlike), "They are not compared.", "Give two of one size."
        )


def _not_finite(layers: Iterable[Distance], names: tuple[str, str]) -> Iterator[Finding]:
    for label, place in zip(names, (0, 1), strict=True):
        broken = [layer.name for layer in layers if not layer.is_finite(place)]
        if broken:
            what = f"{counted(len(broken), 'layer')} of {label} with values that are no numbers."
            yield Finding(
                FAILURE, what, first_of(broken), "Training from it gives nothing but NaN.",
                "Take an earlier checkpoint.",
            )  # fmt: skip


def _relation(whole: Distance, parts: tuple[Distance, ...]) -> Iterator[Finding]:
    if whole.identical == whole.tensors:
        yield Finding(NOTE, f"All {whole.tensors} tensors are bit-identical: it is one backbone.")
        return
    same = [part.name for part in parts if part.identical == part.tensors]
    if same:
        yield Finding(NOTE, f"Bit-identical: {', '.join(same)}.", why="Nothing has trained there.")
    apart = [part.name for part in parts if abs(part.cosine) < _UNRELATED]
    if apart:
        yield Finding(
            NOTE, f"Nothing in common: {', '.join(apart)}.",
            why="The cosine is that of two vectors of chance: another start, or other layers.",
        )  # fmt: skip
