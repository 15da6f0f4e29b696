"""What is wrong, or worth knowing, about how the weights have moved."""

import math
from collections.abc import Iterable, Sequence

from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.movement.change import (
    BACKBONE_PART,
    FROZEN,
    ROUNDING_OF_AVERAGE,
    STATISTIC,
    TRAINABLE,
    Movement,
    TensorChange,
)
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.runs.records import Record, is_step
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.training.optimizer import group_names


def judge_movement(
    parts: Sequence[Movement],
    steps: int | None,
    config: Config,
    records: Sequence[Record],
) -> list[Finding]:
    """Judge how the parts have moved.

    Args:
        parts: as `by_part` gives them.
        steps: optimizer updates between the two; None if that is not known.
        config: of the run.
        records: of the run, for the learning rates.
    """
    own = [part for part in parts if part.name != BACKBONE_PART]
    tensors = [tensor for part in own for tensor in part.tensors]
    findings = [*_not_finite(tensors), *_frozen_that_moved(own), *_frozen_average(own)]
    if steps == 0:
        return [*findings, Finding(NOTE, "The run has made no step yet.")]
    for part in own:
        findings += _did_not_move(part, config, records)
        findings += _statistics(part)
        findings += _average_left_behind(part)
    return findings


def _not_finite(tensors: Iterable[TensorChange]) -> list[Finding]:
    names = [t.name for t in tensors if not t.is_finite]
    if not names:
        return []
    return [
        Finding(
            FAILURE,
            f"{counted(len(names), 'tensor has', 'tensors have')} values that are infinite or not "
            "a number.",
            first_of(names),
            "One such value spreads to every output.",
            "Go on from an earlier checkpoint, with a lower learning rate or without AMP.",
        )
    ]


def _frozen_that_moved(parts: Iterable[Movement]) -> list[Finding]:
    findings = []
    for part in parts:
        changed = [t.name for t in part.of_role(FROZEN) if t.bit_identical is False]
        if changed:
            findings.append(
                Finding(
                    FAILURE,
                    f"{counted(len(changed), 'frozen tensor')} of {part.name} changed.",
                    first_of(changed),
                    "What is frozen stays bit for bit as it was.",
                    "Check that config.yml is the one that the run was trained by, and that the "
                    "file that it began with and the checkpoint were not written by other programs "
                    "since.",
                )
            )
    return findings


def _frozen_average(parts: Iterable[Movement]) -> list[Finding]:
    """The average of what stays as it is stays too, up to rounding."""
    names = [
        t.name
        for part in parts
        for t in part.of_role(FROZEN)
        if t.bit_identical and t.gap > ROUNDING_OF_AVERAGE**2 * t.end
    ]
    if not names:
        return []
    return [
        Finding(
            FAILURE,
            f"The average of {counted(len(names), 'frozen tensor')} differs from the tensor.",
            first_of(names),
            "The averaged weights are what is evaluated and kept.",
            "Check whether the checkpoint was changed by another program.",
        )
    ]


def _did_not_move(part: Movement, config: Config, records: Sequence[Record]) -> list[Finding]:
    trainable = part.of_role(TRAINABLE)
    still = [t.name for t in trainable if t.bit_identical]
    if not still:
        return []
    if len(still) == len(trainable):
        return [
            Finding(
                FAILURE,
                f"{part.name} is trainable and did not move at all.",
                part.name,
                _why_still(part, config, records),
                "Look at optimizer.lr, at the groups in optimizer.params, and at freeze_at.",
            )
        ]
    return [
        Finding(
            NOTE,
            f"{counted(len(still), 'trainable tensor')} of {len(trainable)} in {part.name} did not "
            "move.",
            first_of(still),
            "No gradient reaches them, or the steps were too small for float32: while the learning "
            "rate warms up that is usual.",
        )
    ]


def _why_still(part: Movement, config: Config, records: Sequence[Record]) -> str:
    """The learning rate that the part had, as recorded."""
    rate = _highest_rate(part, config, records)
    if rate is None:
        return "No learning rate of it is recorded."
    if rate == 0.0:
        return "Its learning rate was 0 throughout."
    return (
        f"Its learning rate rose to {rate:.2g}: no gradient reaches it, or the steps were too "
        "small for float32."
    )


def _highest_rate(part: Movement, config: Config, records: Sequence[Record]) -> float | None:
    names = {t.name for t in part.of_role(TRAINABLE)}
    rates = [record["lr"] for record in records if is_step(record) and "lr" in record]
    try:
        # Only names of this part are asked for, so groups of other parts are empty but in place.
        groups = group_names(config, names)
    except ConfigError:
        return None
    own = [index for index, group in enumerate(groups) if group]
    found = [float(rate[index]) for rate in rates for index in own if index < len(rate)]
    return max(found, default=None)


def _statistics(part: Movement) -> list[Finding]:
    statistics = part.of_role(STATISTIC)
    still = [t.name for t in statistics if t.bit_identical]
    if still and len(still) == len(statistics):
        return [
            Finding(
                WARNING,
                f"The norms of {part.name} are not frozen, and their statistics did not move.",
                part.name,
                "In training every batch moves them, so no picture has passed these norms.",
                "Check that config.yml is the one that the run was trained by.",
            )
        ]
    moved = [t for t in statistics if t.bit_identical is False]
    if moved and part.state == FROZEN:
        return [
            Finding(
                NOTE,
                f"The weights of {part.name} are frozen, but the statistics of its norms moved.",
                part.name,
                "freeze_at freezes weights alone; the official code does the same.",
                "HGNetv2.freeze_norm=True keeps the statistics as well.",
            )
        ]
    return []


def _average_left_behind(part: Movement) -> list[Finding]:
    average = part.average_moved
    if average is None or average > 0.0 or not part.moved or math.isnan(part.moved):
        return []
    return [
        Finding(
            WARNING,
            f"{part.name} moved, and its average did not.",
            part.name,
            "The averaged weights are what is evaluated and kept.",
            "Look at ema.decay and ema.warmups.",
        )
    ]
