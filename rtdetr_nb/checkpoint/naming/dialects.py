"""How other libraries spell HGNetv2, as data, and the renaming to the official names.

A dialect is recognised inside the tensors that share a prefix, and its rules turn the names behind
that prefix into official names relative to the backbone (`stem.stem1.conv.weight`). Renaming never
looks at the order of tensors. Where a library differs in values too, the difference is a
`ValueFix` that is part of the renaming and is shown wherever the renaming is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BATCH_NORM_EPS = 1e-5
ULTRALYTICS_EPS = 1e-3


@dataclass(frozen=True)
class Rule:
    """One renaming: a regular expression on the name behind the prefix, and what replaces it."""

    name: str
    pattern: str
    replacement: str


@dataclass(frozen=True)
class Dialect:
    """One spelling of HGNetv2.

    `anchor` finds the first convolution of the stem and captures the prefix before the backbone;
    among dialects with one anchor, the first whose `signature` matches some name is meant.
    `eps` is the norm epsilon that the library's model computes with.
    """

    name: str
    title: str
    anchor: str
    signature: str
    rules: tuple[Rule, ...]
    eps: float = BATCH_NORM_EPS


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


_STEM_ANCHOR = r"^(?P<prefix>(?:.*\.)?)stem\.stem1\.conv\.weight$"
_HUGGING_FACE_ANCHOR = r"^(?P<prefix>(?:.*\.)?)embedder\.stem1\.convolution\.weight$"
_ULTRALYTICS_ANCHOR = r"^(?P<prefix>(?:.*\.)?)\d+\.stem1\.conv\.weight$"

# A file with some stages only has no stem to hang on to; these parts have no other owner.
PARTIAL_ANCHORS = (
    r"^(?P<prefix>(?:.*\.)?)stages[._]\d\.blocks\.\d+\.layers\.\d+\.(?:conv[12]\.)?conv\.weight$",
    r"^(?P<prefix>(?:.*\.)?)stages[._]\d\.blocks\.\d+\.aggregation[._a-z01]*\.conv\.weight$",
    r"^(?P<prefix>(?:.*\.)?)stem\.stem(?:2[ab]|3|4)\.conv\.(?:1\.)?weight$",
    r"^(?P<prefix>(?:.*\.)?)encoder\.stages\.\d\.blocks\.\d+\.layers\.\d+\..*convolution\.weight$",
)

_PADDED_STEM = Rule("padded stem", r"^(stem\.stem2[ab]\.conv)\.(weight|bias)$", r"\1.1.\2")
_AGGREGATION = (
    Rule("squeeze", r"\.aggregation\.0\.", ".aggregation_squeeze_conv."),
    Rule("excitation", r"\.aggregation\.1\.", ".aggregation_excitation_conv."),
    _PADDED_STEM,
)

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        "huggingface",
        "Hugging Face transformers",
        _HUGGING_FACE_ANCHOR,
        r"(^embedder|\.convolution)\.",
        (
            Rule("embedder", r"^embedder\.", "stem."),
            Rule("encoder stages", r"^encoder\.stages\.", "stages."),
            Rule("convolution", r"\.convolution\.", ".conv."),
            Rule("normalization", r"\.normalization\.", ".bn."),
            *_AGGREGATION,
        ),
    ),
    Dialect(
        "ultralytics",
        "Ultralytics",
        _ULTRALYTICS_ANCHOR,
        r"^\d+\.stem1\.",
        (
            Rule("layers", r"\.m\.(\d+)\.", r".layers.\1."),
            Rule("squeeze", r"\.sc\.", ".aggregation_squeeze_conv."),
            Rule("excitation", r"\.ec\.", ".aggregation_excitation_conv."),
            _PADDED_STEM,
        ),
        eps=ULTRALYTICS_EPS,
    ),
    Dialect(
        "paddle",
        "PaddleDetection or PaddleClas",
        _STEM_ANCHOR,
        r"\.bn\._(mean|variance)$",
        (
            Rule("running mean", r"\._mean$", ".running_mean"),
            Rule("running variance", r"\._variance$", ".running_var"),
            _PADDED_STEM,
        ),
    ),
    Dialect(
        "timm_features",
        "timm, features only",
        _STEM_ANCHOR,
        r"^stages_\d\.",
        (Rule("stage list", r"^stages_(\d)\.", r"stages.\1."), *_AGGREGATION),
    ),
    Dialect(
        "timm",
        "timm classifier",
        _STEM_ANCHOR,
        r"^head\.(last_conv|fc)\.",
        _AGGREGATION,
    ),
    Dialect(
        "dfine",
        "D-FINE, DEIM, RT-DETRv4 or timm without its head",
        _STEM_ANCHOR,
        r"\.aggregation\.[01]\.|^stem\.stem2[ab]\.conv\.weight$",
        _AGGREGATION,
    ),
    Dialect("official", "official RT-DETRv2", _STEM_ANCHOR, r"", ()),
)

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


def recognise_dialect(names: Iterable[str]) -> Dialect:
    """Return the dialect of names that follow one prefix; official if nothing else shows."""
    names = list(names)
    for dialect in DIALECTS:
        signature = re.compile(dialect.signature)
        if any(signature.search(name) for name in names):
            return dialect
    raise AssertionError("the official dialect matches any name")


def rename(
    names: Mapping[str, str], dialect: Dialect, eps: Mapping[str, float] | None = None
) -> list[Origin]:
    """Return the official names of one backbone's tensors.

    Args:
        names: the name behind the prefix -> the key in the file. Names that no rule leads to the
            backbone (heads, the rest of a detector) come back as they are: the caller compares
            them with the model's table.
        dialect: the spelling of `names`.
        eps: norm epsilons read from pickled modules, by the name of the norm behind the prefix.
    """
    indices = _ultralytics_parts(names) if dialect.name == "ultralytics" else None
    origins = []
    for name, key in names.items():
        official, rules = _apply_rules(name, dialect.rules, indices)
        norm = name.rpartition(".")[0]
        fix = _eps_fix(official, (eps or {}).get(norm, dialect.eps))
        origins.append(Origin(official, key, rules, fix))
    return _unfuse(origins)


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


def _ultralytics_parts(names: Iterable[str]) -> dict[int, str]:
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
