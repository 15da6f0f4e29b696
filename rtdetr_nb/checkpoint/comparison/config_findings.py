"""Settings that decide whether loaded weights survive and matter: the traps of a configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.findings import NOTE, WARNING, Finding
from rtdetr_nb.checkpoint.comparison.row import MATCHED, MISMATCHED, MISSING
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff

_STATISTICS = (".bn.running_mean", ".bn.running_var")
_A_NORM_PARAMETER = f"{BACKBONE}stem.stem1.bn.weight"


def config_findings(
    config: Any, diff: Diff | None = None, *, total_steps: int | None = None
) -> list[Finding]:
    """Judge the settings that decide whether loaded weights survive and matter.

    Args:
        config: the configuration.
        diff: what will be loaded; without it only the settings themselves are judged.
        total_steps: optimizer steps of the run, if known.
    """
    return [
        *_frozen_parts(config, diff),
        *_frozen_norms(config, diff),
        *_norm_pattern(config),
        *_warm_up(config, total_steps),
    ]


def _frozen_parts(config: Any, diff: Diff | None) -> list[Finding]:
    freeze_at = config.backbone.freeze_at
    if freeze_at < 0:
        return []
    parts = ["stem", *(f"stages.{index}" for index in range(min(freeze_at, 4)))]
    unfilled = [
        row
        for row in (diff.rows if diff else ())
        if row.part in parts and row.status in (MISSING, MISMATCHED) and row.model_key
    ]
    where, named = f"HGNetv2.freeze_at: {freeze_at}", ", ".join(parts)
    if unfilled:
        return [
            Finding(
                WARNING,
                f"{counted(len(unfilled), 'tensor')} of {named}: random, and frozen.",
                where,
                "Nothing will ever train them.",
                "Set HGNetv2.freeze_at=-1.",
            )
        ]
    note = "freeze_at: 0 does not mean that nothing is frozen; -1 does." if not freeze_at else ""
    return [Finding(NOTE, f"{named} of the backbone is frozen.", where, note)]


def _frozen_norms(config: Any, diff: Diff | None) -> list[Finding]:
    if not config.backbone.freeze_norm:
        return []
    unfilled = [
        row
        for row in (diff.rows if diff else ())
        if (row.model_key or "").endswith(_STATISTICS) and row.status != MATCHED
    ]
    where = "HGNetv2.freeze_norm: True"
    if unfilled:
        return [
            Finding(
                WARNING,
                f"{len(unfilled)} norm statistics are not loaded, and the norms are frozen.",
                where,
                "They keep mean 0 and variance 1 for the whole run, which fits no trained layer.",
                "Load them, or set HGNetv2.freeze_norm=False.",
            )
        ]
    return [
        Finding(NOTE, "The backbone's norms keep the file's statistics for the whole run.", where)
    ]


def _norm_pattern(config: Any) -> list[Finding]:
    """Find patterns that mean to leave norms out but do not: `|` splits the whole lookahead."""
    findings = []
    for index, group in enumerate(config.optimizer.params):
        lookahead = re.search(r"\(\?!([^()]*)\)", group.params)
        means_norms = lookahead and "bn" in lookahead[1]
        if not means_norms or not re.findall(group.params, _A_NORM_PARAMETER):
            continue
        live = not config.backbone.freeze_norm
        findings.append(
            Finding(
                WARNING if live else NOTE,
                f"The pattern {group.params!r} does not leave out the backbone's norms "
                f"(...bn.weight matches it)."
                + ("" if live else " They are frozen, so nothing comes of it."),
                f"optimizer.params.{index}",
                "`.*norm|bn` means `.*norm` anywhere, or `bn` right at the start of the name."
                + (" Norms get this group's weight decay." if live else ""),
                "Write (?!.*(?:norm|bn))." if live else "",
            )
        )
    return findings


def _warm_up(config: Any, total_steps: int | None) -> list[Finding]:
    warm_up = config.lr_warmup_scheduler
    duration = warm_up.warmup_duration if warm_up else 0
    where = f"lr_warmup_scheduler.warmup_duration: {duration}"
    if not duration or total_steps is None or total_steps >= duration:
        return []
    share = total_steps / duration
    return [
        Finding(
            WARNING,
            f"The warm-up lasts {duration} steps, the run {total_steps}.",
            where,
            f"The learning rate never gets beyond {share:.0%} of what is configured.",
            "Shorten the warm-up (and ema.warmups) for a short run; the quick-run preset does.",
        )
    ]
