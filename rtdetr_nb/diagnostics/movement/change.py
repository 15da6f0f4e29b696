"""How far weights have moved: tensor by tensor, and summed up over layers and parts."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from rtdetr_nb.architecture.state_dict_table import KeyInfo
from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.row import is_bookkeeping, part_of
from rtdetr_nb.checkpoint.tuning.proof import bit_equal
from rtdetr_nb.diagnostics.movement.beginning import (
    AVERAGE,
    RAW,
    Beginning,
    read_tensor,
    tensor_names,
)

TRAINABLE, FROZEN, STATISTIC = "trainable", "frozen", "statistic"
BACKBONE_PART = "backbone"

# Averaging x with itself rounds, so the average of what is frozen is not bit-identical to it. It
# comes to rest where a step of (1 - decay) is lost in rounding: at 6e-8 / (1 - 0.9999).
ROUNDING_OF_AVERAGE = 1e-3

_STATISTIC = re.compile(r"\.running_(mean|var)$")
# The end of a name inside its layer: "conv.weight", "bn.running_var", "in_proj_bias".
_INSIDE_LAYER = re.compile(r"(\.(conv(\.1)?|bn|norm|lab))?\.\w+$")


@dataclass(frozen=True)
class TensorChange:
    """One tensor of the model after a run against before it. Sums are over its values.

    Attributes:
        name: in the model.
        role: "trainable", "frozen", or "statistic" (mean or variance of a norm that is not frozen).
        source: where its first value comes from; empty where that is not known.
        bit_identical: whether no bit has changed; None if the first value is not known.
        difference: sum of squares of what was added; NaN where the first value is not known.
        start: sum of squares of the first value; NaN likewise.
        average_difference: as `difference`, of the averaged weights; NaN without an average.
        end: sum of squares of the value now.
        gap: sum of squares of average minus raw, now; NaN without an average.
    """

    name: str
    role: str
    source: str
    bit_identical: bool | None
    difference: float
    start: float
    average_difference: float
    end: float
    gap: float

    @property
    def is_finite(self) -> bool:
        """Whether all values are numbers now."""
        return math.isfinite(self.end)


@dataclass(frozen=True)
class Movement:
    """How far a layer, a part or the whole backbone has moved.

    Attributes:
        name: of the layer or part.
        part: "stem", "stages.0" to "stages.3", "encoder" or "decoder"; "backbone" for all of it.
        tensors: the tensors in it, bookkeeping left out.
    """

    name: str
    part: str
    tensors: tuple[TensorChange, ...] = field(repr=False)

    @property
    def weights(self) -> tuple[TensorChange, ...]:
        """All but the statistics of norms."""
        return tuple(t for t in self.tensors if t.role != STATISTIC)

    @property
    def statistics(self) -> tuple[TensorChange, ...]:
        """Means and variances of norms that are not frozen."""
        return self.of_role(STATISTIC)

    def of_role(self, role: str) -> tuple[TensorChange, ...]:
        """The tensors of one role."""
        return tuple(t for t in self.tensors if t.role == role)

    @property
    def state(self) -> str:
        """ "frozen", "trainable", or "partly frozen"; frozen norms alone do not count as partly."""
        roles = {t.role for t in self.weights if not re.search(r"\.(bn|norm)\.\w+$", t.name)}
        roles = roles or {t.role for t in self.weights}
        return roles.pop() if len(roles) == 1 else "partly frozen"

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the first values come from, the most frequent one first; unknown ones left out."""
        found = [t.source for t in self.weights if t.source]
        return tuple(sorted(set(found), key=lambda source: (-found.count(source), source)))

    @property
    def moved(self) -> float | None:
        """Norm of what was added over the norm of the start; None if that is not known.

        Infinite if the start was zero.
        """
        return relative_change(self.weights, "difference", "start")

    @property
    def average_moved(self) -> float | None:
        """The same of the averaged weights; None without an average or without a known start."""
        return relative_change(self.weights, "average_difference", "start")

    @property
    def average_gap(self) -> float | None:
        """Distance of the average from the raw weights, over their norm; None without average."""
        return relative_change(self.weights, "gap", "end")

    @property
    def statistics_moved(self) -> float | None:
        """As `moved`, of the norms' means and variances together; None if there are none."""
        return relative_change(self.statistics, "difference", "start")


def relative_change(changes: Iterable[TensorChange], numerator: str, below: str) -> float | None:
    """Root of the ratio of two sums over tensors; those for which one is not known are left out."""
    pairs = [(getattr(t, numerator), getattr(t, below)) for t in changes]
    pairs = [(above, beneath) for above, beneath in pairs if not math.isnan(above + beneath)]
    if not pairs:
        return None
    above, beneath = (sum(column) for column in zip(*pairs, strict=True))
    if above == 0.0:
        return 0.0
    return math.sqrt(above / beneath) if beneath else math.inf


def role_of(name: str, table: Mapping[str, KeyInfo]) -> str | None:
    """What a training does with a tensor; None for bookkeeping, which is no weight."""
    if is_bookkeeping(name):
        return None
    if table[name].trainable:
        return TRAINABLE
    if _STATISTIC.search(name):
        # Of a frozen norm scale and shift are buffers too, and nothing of it moves.
        weight = table[name.rpartition(".")[0] + ".weight"]
        return STATISTIC if weight.kind == "parameter" else FROZEN
    return FROZEN


def compare_tensors(
    checkpoint: Checkpoint, beginning: Beginning, table: Mapping[str, KeyInfo]
) -> Iterator[TensorChange]:
    """Compare what a checkpoint holds with the beginning, one tensor at a time."""
    raw, averaged = (set(tensor_names(checkpoint, prefix)) for prefix in (RAW, AVERAGE))
    for name in table:
        role = role_of(name, table)
        if role is None or name not in raw:
            continue
        now = read_tensor(checkpoint, RAW, name)
        average = read_tensor(checkpoint, AVERAGE, name) if name in averaged else None
        yield _change(name, role, now, average, beginning)


def _change(
    name: str, role: str, now: Tensor, average: Tensor | None, beginning: Beginning
) -> TensorChange:
    start = start_of_average = None
    if name in beginning.sources:
        # Loading casts to the type of the model.
        start = beginning.read(name).to(now.dtype)
        start_of_average = beginning.read_average(name).to(now.dtype)
    return TensorChange(
        name=name,
        role=role,
        source=beginning.sources.get(name, ""),
        bit_identical=None if start is None else bit_equal(now, start),
        difference=_squares(now, start),
        start=_squares(start),
        average_difference=_squares(average, start_of_average),
        end=_squares(now),
        gap=_squares(average, now),
    )


def _squares(values: Tensor | None, other: Tensor | float | None = 0.0) -> float:
    """Sum of squares of a difference, in double precision; NaN where a side is not known."""
    if values is None or other is None:
        return math.nan
    minus = other.double() if isinstance(other, Tensor) else other
    return float((values.double() - minus).square().sum())


def by_layer(changes: Sequence[TensorChange]) -> tuple[Movement, ...]:
    """One movement a layer (a convolution with its norm, a linear layer), in the model's order."""
    groups: dict[str, list[TensorChange]] = {}
    for change in changes:
        groups.setdefault(_INSIDE_LAYER.sub("", change.name), []).append(change)
    return tuple(
        Movement(name, part_of(own[0].name), tuple(own))
        for name, own in _in_data_order(groups).items()
    )


def by_part(changes: Sequence[TensorChange]) -> tuple[Movement, ...]:
    """The backbone as a whole, its parts, encoder and decoder."""
    groups: dict[str, list[TensorChange]] = {}
    for change in changes:
        if change.name.startswith("backbone."):
            groups.setdefault(BACKBONE_PART, []).append(change)
        groups.setdefault(part_of(change.name), []).append(change)
    return tuple(Movement(name, name, tuple(own)) for name, own in _in_data_order(groups).items())


def _in_data_order(
    groups: Mapping[str, list[TensorChange]],
) -> dict[str, list[TensorChange]]:
    """Encoder before decoder, as the data goes; the state dict has them the other way round."""
    return dict(sorted(groups.items(), key=lambda item: item[0].startswith("decoder")))
