"""From the names of a dialect to the official ones, and back.

Renaming never looks at the order of tensors. Where a library differs in values too, the difference
is a `ValueFix`, which is part of the renaming and shown with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtdetr_nb.checkpoint.naming.dialects import BATCH_NORM_EPS, Dialect, Rule


@dataclass(frozen=True)
class ValueFix:
    """`value * scale + offset`, computed in float64: all that differs between libraries."""

    scale: float
    offset: float
    why: str

    def apply(self, value: Any) -> Any:
        """Return the fixed value of a float64 tensor or array of any shape."""
        return value * self.scale + self.offset


@dataclass(frozen=True)
class Origin:
    """Where one official backbone tensor comes from.

    `name` is the official name without `backbone.`; `rules` are the names of the renaming rules.
    """

    name: str
    checkpoint_key: str
    rules: tuple[str, ...] = ()
    fix: ValueFix | None = None


_NO_COUNTERPART = (
    (r"(^|\.)StructuredToParameterName@@", "PaddlePaddle's table of names, not a tensor"),
    (r"(^|[._])teacher([._]|$)", "the teacher's, not the student's"),
    (
        r"adapter|(^|\.)align(\.|$)|feature_projector|generation\.|conv_mask_|channel_add_conv"
        r"|distill|(^|\.)projector(\.|$)",
        "an adapter of the distillation: useful to the teacher's loss only",
    ),
    (r"(^|\.)(head|fc|last_conv)\.", "the classification head of the pretraining"),
    (r"\.lab\.(scale|bias)$", "a learnable affine block, which this model does not have"),
)


def rename(
    names: Mapping[str, str], dialect: Dialect, eps: Mapping[str, float] | None = None
) -> list[Origin]:
    """Return the official names of one backbone's tensors.

    Args:
        names: the name behind the prefix -> the key in the file. Names that no rule leads to the
            backbone (heads, the rest of a detector) come back as they are: the caller compares
            them with the model's table.
        dialect: the dialect of `names`.
        eps: norm epsilons read from pickled modules, by the name of the norm behind the prefix.
    """
    indices = _parts_by_number(names) if dialect.numbered else None
    origins = []
    for name, key in names.items():
        official, rules = _apply_rules(name, dialect.rules, indices)
        norm = name.rpartition(".")[0]
        fix = _eps_fix(official, (eps or {}).get(norm, dialect.eps))
        origins.append(Origin(official, key, rules, fix))
    return _unfuse(origins)


def rename_back(names: Iterable[str], dialect: Dialect) -> dict[str, str]:
    """Return official names without `backbone.` -> the library's names with its prefix."""
    names = list(names)
    numbers = _number_parts(names) if dialect.numbered else {}
    renamed = {}
    for official in names:
        name = official
        for rule in reversed(dialect.rules):
            name = re.sub(rule.back_pattern, rule.back_replacement, name)
        if numbers:
            part = _part_of(official)
            name = f"{numbers[part]}{name.removeprefix(part)}"
        renamed[official] = dialect.prefix + name
    return renamed


def no_counterpart_note(key: str) -> str:
    """Say why a key of the file has no place in the model; empty if nothing is known about it."""
    for pattern, note in _NO_COUNTERPART:
        if re.search(pattern, key):
            return note
    return ""


def _apply_rules(
    name: str, rules: Sequence[Rule], indices: Mapping[int, str] | None
) -> tuple[str, tuple[str, ...]]:
    applied = []
    if indices is not None:
        index, _, rest = name.partition(".")
        if index.isdecimal() and int(index) in indices:
            name = f"{indices[int(index)]}.{rest}"
            applied.append(f"index {index}")
        else:
            return name, ()
    for rule in rules:
        renamed = re.sub(rule.pattern, rule.replacement, name)
        if renamed != name:
            applied.append(rule.name)
        name = renamed
    return name, tuple(applied)


def _eps_fix(official: str, eps: float) -> ValueFix | None:
    """Move another library's epsilon into the variance: the official norm adds its own 1e-5."""
    if eps == BATCH_NORM_EPS or not official.endswith(".running_var"):
        return None
    why = f"the norm's eps of {eps:g} moved into the variance (the model adds {BATCH_NORM_EPS:g})"
    return ValueFix(1.0, eps - BATCH_NORM_EPS, why)


def _unfuse(origins: list[Origin]) -> list[Origin]:
    """Give a convolution whose norm was folded into it an identity norm that adds its bias."""
    names = {origin.name for origin in origins}
    result = []
    for origin in origins:
        unit, matched, _ = re.sub(r"\.conv\.(1\.)?bias$", "\0", origin.name).partition("\0")
        if not matched or f"{unit}.bn.weight" in names:
            result.append(origin)
            continue
        why = "the norm was folded into the convolution: an identity norm adds the bias"
        rules = (*origin.rules, "fused bias")
        for leaf, scale, offset in (
            ("weight", 0.0, 1.0),
            ("bias", 1.0, 0.0),
            ("running_mean", 0.0, 0.0),
            ("running_var", 0.0, 1.0 - BATCH_NORM_EPS),
        ):
            fix = ValueFix(scale, offset, why)
            result.append(Origin(f"{unit}.bn.{leaf}", origin.checkpoint_key, rules, fix))
    return result


def _parts_by_number(names: Iterable[str]) -> dict[int, str]:
    """Map Ultralytics' layer numbers to official parts by what the layers contain.

    The stock table is stem, block, then per stage a downsampling and its blocks; reading the
    structure instead of the numbers also covers models with layers inserted after the backbone.
    """
    children: dict[int, set[str]] = {}
    for name in names:
        index, _, rest = name.partition(".")
        if index.isdecimal():
            children.setdefault(int(index), set()).add(rest.partition(".")[0])
    parts: dict[int, str] = {}
    stage, block = 0, 0
    for index in sorted(children):
        if "stem1" in children[index]:
            parts[index] = "stem"
        elif "sc" in children[index] and parts:
            parts[index] = f"stages.{stage}.blocks.{block}"
            block += 1
        elif children[index] <= {"conv", "bn"} and parts and stage < 3 and block > 0:
            stage, block = stage + 1, 0
            parts[index] = f"stages.{stage}.downsample"
        elif parts:
            break
    return parts


def _number_parts(names: Iterable[str]) -> dict[str, int]:
    """Number the parts through: the stem, then each stage's downsampling and blocks."""
    return {part: i for i, part in enumerate(dict.fromkeys(map(_part_of, names)))}


def _part_of(official: str) -> str:
    match = re.match(r"stem|stages\.\d+\.(?:downsample|blocks\.\d+)", official)
    return match[0] if match else official.partition(".")[0]
