"""Settings that decide whether loaded weights survive and matter: the traps of a configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import MATCHED, MISMATCHED, MISSING, Row
from rtdetr_nb.text.findings import NOTE, WARNING, Check, Finding, Words, check
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff

_STATISTICS = (".bn.running_mean", ".bn.running_var")
_A_NORM_PARAMETER = f"{BACKBONE}stem.stem1.bn.weight"


@dataclass(frozen=True)
class ConfigCase:
    """A configuration, what will be loaded under it, and the steps of the run, if known."""

    config: Any
    rows: Sequence[Row] = ()
    total_steps: int | None = None

    @property
    def frozen_parts(self) -> list[str]:
        """The parts of the backbone that `freeze_at` freezes."""
        freeze_at = self.config.backbone.freeze_at
        if freeze_at < 0:
            return []
        return ["stem", *(f"stages.{index}" for index in range(min(freeze_at, 4)))]

    @property
    def random_and_frozen(self) -> list[Row]:
        """Tensors of frozen parts that stay at random weights."""
        parts = self.frozen_parts
        return [
            row
            for row in self.rows
            if row.part in parts and row.status in (MISSING, MISMATCHED) and row.model_key
        ]

    @property
    def statistics_not_loaded(self) -> list[Row]:
        """Statistics of the backbone's norms that are not loaded."""
        return [
            row
            for row in self.rows
            if (row.model_key or "").endswith(_STATISTICS) and row.status != MATCHED
        ]


def config_findings(
    config: Any, diff: Diff | None = None, *, total_steps: int | None = None
) -> list[Finding]:
    """Judge the settings that decide whether loaded weights survive and matter.

    Args:
        config: the configuration.
        diff: what will be loaded; without it only the settings themselves are judged.
        total_steps: optimizer steps of the run, if known.
    """
    case = ConfigCase(config, diff.rows if diff else (), total_steps)
    return [finding for each in CONFIG_CHECKS for finding in each(case)]


@check(WARNING)
def random_parts_frozen(case: ConfigCase) -> Iterator[Words]:
    """Tensors of the frozen parts are not loaded: they are random, and nothing trains them."""
    unfilled = case.random_and_frozen
    if unfilled:
        yield Words(
            f"{counted(len(unfilled), 'tensor')} of {', '.join(case.frozen_parts)}: random, and "
            "frozen.",
            f"HGNetv2.freeze_at: {case.config.backbone.freeze_at}",
            "Nothing will ever train them.",
            "Set HGNetv2.freeze_at=-1.",
        )


def _with_article(parts: Sequence[str]) -> str:
    """The parts that are frozen as the subject of a sentence: the stem and the stages after it."""
    names = [f"the {part}" if part == "stem" else part for part in parts]
    text = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{text[0].upper()}{text[1:]} {'is' if len(parts) == 1 else 'are'}"


@check(NOTE)
def parts_frozen(case: ConfigCase) -> Iterator[Words]:
    """The first parts of the backbone are frozen; `freeze_at: 0` already freezes the stem."""
    freeze_at = case.config.backbone.freeze_at
    if freeze_at >= 0 and not case.random_and_frozen:
        yield Words(
            f"{_with_article(case.frozen_parts)} frozen.",
            f"HGNetv2.freeze_at: {freeze_at}",
            "" if freeze_at else "freeze_at: 0 does not mean that nothing is frozen; -1 does.",
        )


@check(WARNING)
def random_norms_frozen(case: ConfigCase) -> Iterator[Words]:
    """The norms are frozen and their statistics are not loaded: mean 0 and variance 1 stay."""
    unfilled = case.statistics_not_loaded
    if case.config.backbone.freeze_norm and unfilled:
        yield Words(
            f"{len(unfilled)} norm statistics are not loaded, and the norms are frozen.",
            "HGNetv2.freeze_norm: True",
            "They keep mean 0 and variance 1 for the whole run, which fits no trained layer.",
            "Load them, or set HGNetv2.freeze_norm=False.",
        )


@check(NOTE)
def norms_frozen(case: ConfigCase) -> Iterator[Words]:
    """The backbone's norms are frozen and keep the statistics that they begin with."""
    if case.config.backbone.freeze_norm and not case.statistics_not_loaded:
        yield Words(
            "The backbone's norms keep the statistics that they begin with for the whole run.",
            "HGNetv2.freeze_norm: True",
        )


@check(NOTE)
def norms_decay(case: ConfigCase) -> Iterator[Words]:
    """A pattern of the optimizer means to leave the norms out but does not: they decay.

    In `(?!.*norm|bn)` the `|` splits the whole lookahead.
    """
    if not case.config.backbone.freeze_norm:
        for group in _broken_patterns(case.config):
            yield Words(
                group.what,
                group.where,
                f"{group.why} Norms get this group's weight decay.",
                "Write (?!.*(?:norm|bn)).",
            )


@check(NOTE)
def pattern_without_effect(case: ConfigCase) -> Iterator[Words]:
    """A pattern of the optimizer means to leave the norms out but does not; they are frozen."""
    if case.config.backbone.freeze_norm:
        for group in _broken_patterns(case.config):
            what = f"{group.what} Without effect here: the norms are frozen."
            yield Words(what, group.where, group.why)


@check(WARNING)
def warm_up_too_long(case: ConfigCase) -> Iterator[Words]:
    """The run ends before the warm-up does: the learning rate never reaches its value."""
    warm_up, total_steps = case.config.lr_warmup_scheduler, case.total_steps
    duration = warm_up.warmup_duration if warm_up else 0
    if duration and total_steps is not None and total_steps < duration:
        yield Words(
            f"The warm-up lasts {duration} steps, the run {total_steps}.",
            f"lr_warmup_scheduler.warmup_duration: {duration}",
            f"The learning rate never gets beyond {total_steps / duration:.0%} of what is "
            "configured.",
            "Shorten the warm-up (and ema.warmups) for a short run; the quick-run preset does.",
        )


CONFIG_CHECKS: tuple[Check[ConfigCase], ...] = (
    random_parts_frozen,
    parts_frozen,
    random_norms_frozen,
    norms_frozen,
    norms_decay,
    pattern_without_effect,
    warm_up_too_long,
)
"""All findings from settings, in the order in which they are shown."""


class _BrokenPattern(NamedTuple):
    what: str
    where: str
    why: str = "`.*norm|bn` means `.*norm` anywhere, or `bn` right at the start of the name."


def _broken_patterns(config: Any) -> Iterator[_BrokenPattern]:
    """Find patterns that mean to leave norms out but do not: `|` splits the whole lookahead."""
    for index, group in enumerate(config.optimizer.params):
        lookahead = re.search(r"\(\?!([^()]*)\)", group.params)
        means_norms = lookahead and "bn" in lookahead[1]
        if means_norms and re.findall(group.params, _A_NORM_PARAMETER):
            yield _BrokenPattern(
                f"The pattern {group.params!r} does not leave out the backbone's norms "
                f"(...bn.weight matches it).",
                f"optimizer.params.{index}",
            )
