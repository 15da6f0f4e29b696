"""Finds the backbones of a checkpoint by their tensors, under any wrapper.

A candidate is one copy of HGNetv2 inside the file. Files often hold several: the averaged and the
raw weights, the student and the teacher. Candidates are ordered by preference, and reports name the
one that was taken. If two are equally likely, the user has to choose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rtdetr_nb.architecture.state_dict_table import variant_tables
from rtdetr_nb.checkpoint.naming.dialects import (
    DIALECTS,
    PARTIAL_ANCHORS,
    recognise_dialect,
)
from rtdetr_nb.checkpoint.naming.renaming import Origin, rename
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import Table

TOP_LEVEL = "top level"

# Its stem is a plain chain and its blocks end in channel attention; HGNetv2 has neither.
_FIRST_HGNET = r"(stem\.(stem\.)?\d+\.(conv|bn)\.|stages\.\d+\.blocks\.\d+\.att\.)"

# A backbone's names begin with these words. Without a prefix, other tensors may lie beside them.
_OWN_NAME = re.compile(r"(stem|stages_?\d?|embedder|encoder|head|last_conv|fc|\d+)\.")


class NamedTensor(Protocol):
    """What the search reads of a tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        ...

    @property
    def dtype(self) -> str:
        """Its element type, such as "float32"."""
        ...


class NamedModule(Protocol):
    """What the search reads of a pickled module."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its plain attributes by name."""
        ...


@dataclass(frozen=True)
class Candidate:
    """One backbone inside a checkpoint.

    Attributes:
        name: the place of the copy, unique in the file ("ema.module", "state_dict.student").
        prefix: the part of the keys before the backbone's names ("ema.module.backbone.").
        dialect: whose names these are (see `dialects.DIALECTS`).
        variant: "L", "X" or "H" by shapes, or None for another size.
        role: "ema", "raw", "student", "teacher" or "model"; or two of them ("student, ema") if a
            student or teacher is there both averaged and raw.
        tensors: number of tensors with an official backbone name.
        dtype: their floating-point types.
        notes: sentences on how the role was found.
        origins: the official name of each tensor and where it comes from.
    """

    name: str
    prefix: str
    dialect: str
    variant: str | None
    role: str
    tensors: int
    dtype: str
    notes: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = field(default=(), repr=False)

    @cached_property
    def root(self) -> str:
        """Prefix of the whole model around the backbone, where encoder and decoder would lie."""
        return re.sub(r"(^|\.)backbone\.$", r"\1", self.prefix)

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """Order of preference: student before teacher, averaged weights before raw ones."""
        owner = {"student": 0, "teacher": 2}.get(self.role.split(",")[0], 1)
        return owner, self.variant is None, self.role.endswith("raw")


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


def candidate_table(candidates: Iterable[Candidate]) -> Table:
    """Return the backbones of a file, the one that is taken first."""
    rows = tuple(
        (c.name, c.role, c.variant or "?", c.dialect, str(c.tensors), c.dtype, c.prefix or "-")
        for c in candidates
    )
    columns = ("name", "role", "HGNetv2", "dialect", "tensors", "dtype", "prefix")
    return Table(
        "backbones in the file (the one used is first):", columns, rows, frozenset({"tensors"})
    )


class Candidates(list[AnyCandidate]):
    """A list of candidates that shows itself as a table in a notebook."""

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return candidate_table(self).text()

    def _repr_html_(self) -> str:
        return candidate_table(self).html()


def find_candidates(
    tensors: Mapping[str, NamedTensor], modules: Mapping[str, NamedModule]
) -> Candidates[Candidate]:
    """Return every HGNetv2 among the tensors of a file, the one that is most likely meant first.

    Args:
        tensors: all tensors of the file by their dotted paths, in the order of the file.
        modules: the pickled modules by their paths; their norms know their epsilon.
    """
    keys = list(tensors)
    prefixes = _anchored_prefixes(keys)
    found = [_describe(tensors, modules, prefix) for prefix in prefixes]
    found = [candidate for candidate in found if candidate.tensors]
    named = _with_names_and_roles(found, keys)
    return Candidates(sorted(named, key=lambda candidate: candidate.rank))


def _anchored_prefixes(keys: Iterable[str]) -> list[str]:
    """Return the prefix of every backbone, in the order of the file."""
    keys = list(keys)
    whole = _prefixes(keys, dict.fromkeys(dialect.anchor for dialect in DIALECTS))
    partial = _prefixes(keys, PARTIAL_ANCHORS) if not whole else []
    return whole or [prefix for prefix in partial if not _is_first_hgnet(prefix, keys)]


def _prefixes(keys: Sequence[str], patterns: Iterable[str]) -> list[str]:
    anchors = [re.compile(pattern) for pattern in patterns]
    matches = (anchor.match(key) for key in keys for anchor in anchors)
    return list(dict.fromkeys(match["prefix"] for match in matches if match))


def _is_first_hgnet(prefix: str, keys: Iterable[str]) -> bool:
    """Recognise HGNetv2's predecessor, whose stages have similar names."""
    pattern = re.compile(re.escape(prefix) + _FIRST_HGNET)
    return any(pattern.match(key) for key in keys)


def _describe(
    tensors: Mapping[str, NamedTensor], modules: Mapping[str, NamedModule], prefix: str
) -> Candidate:
    names = {key[len(prefix) :]: key for key in tensors if key.startswith(prefix)}
    dialect = recognise_dialect(name for name in names if _OWN_NAME.match(name))
    eps = _norm_eps(modules, prefix)
    known = _all_backbone_names()
    origins = [o for o in rename(names, dialect, eps) if o.name in known]
    shapes = {o.name: tensors[o.checkpoint_key].shape for o in origins}
    dtypes = Counter(tensors[o.checkpoint_key].dtype for o in origins)
    floating = [dtype for dtype, _ in dtypes.most_common() if "float" in dtype]
    fused = any("fused bias" in origin.rules for origin in origins)
    return Candidate(
        name=prefix,
        prefix=prefix,
        dialect=dialect.name,
        variant=_variant(shapes),
        role="model",
        tensors=len(origins),
        dtype=", ".join(floating),
        notes=("Its norms are folded into the convolutions (a deployed model).",) if fused else (),
        origins=tuple(origins),
    )


def _norm_eps(modules: Mapping[str, NamedModule], prefix: str) -> dict[str, float]:
    """Return the epsilons that pickled norms carry, by the name of the norm behind the prefix."""
    found = (
        (key[len(prefix) :], module.attributes.get("eps"))
        for key, module in modules.items()
        if key.startswith(prefix)
    )
    return {name: float(eps) for name, eps in found if isinstance(eps, int | float)}


@lru_cache(maxsize=1)
def _all_backbone_names() -> frozenset[str]:
    return frozenset(name for table in variant_tables().values() for name in table)


def _variant(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return the variant that most shapes agree with, if more than half of them do."""
    weights = {name: shape for name, shape in shapes.items() if len(shape) > 0}
    agreed = {
        variant: sum(
            name in table and table[name].shape == tuple(shape) for name, shape in weights.items()
        )
        for variant, table in variant_tables().items()
    }
    best = max(agreed, key=lambda variant: agreed[variant])
    return best if 2 * agreed[best] > len(weights) else None


def _with_names_and_roles(found: list[Candidate], keys: Sequence[str]) -> list[Candidate]:
    roots = Counter(candidate.root for candidate in found)
    swapped = _averaged_weights_are_swapped(keys)
    owners = [_owner(candidate.prefix) for candidate in found]
    averaged = [_is_averaged(candidate.prefix) != swapped for candidate in found]
    result = []
    for candidate, owner, is_averaged in zip(found, owners, averaged, strict=True):
        place = candidate.root if roots[candidate.root] == 1 else candidate.prefix
        siblings = {flag for other, flag in zip(owners, averaged, strict=True) if other == owner}
        copy = "ema" if is_averaged else "raw" if True in siblings else ""
        role = ", ".join(word for word in (owner, copy) if word) or "model"
        notes = candidate.notes
        if swapped:
            notes += (
                "mmengine's EMAHook saved the averaged weights as state_dict and the raw ones "
                "as ema_state_dict.",
            )
        named = place.rstrip(".") or TOP_LEVEL
        result.append(replace(candidate, name=named, role=role, notes=notes))
    return result


def _words(prefix: str) -> list[str]:
    return re.split(r"[._]+", prefix.lower())


def _owner(prefix: str) -> str:
    words = _words(prefix)
    return "teacher" if "teacher" in words else "student" if "student" in words else ""


def _is_averaged(prefix: str) -> bool:
    return not {"ema", "swa", "averaged"}.isdisjoint(_words(prefix))


def _averaged_weights_are_swapped(keys: Sequence[str]) -> bool:
    """Recognise mmengine's EMAHook: its checkpoints hold both dicts with exchanged meanings."""
    tops = {key.partition(".")[0] for key in keys}
    return {"state_dict", "ema_state_dict"} <= tops


def explain_no_backbone(path: Path, keys: Sequence[str]) -> str:
    """Explain what a file without an HGNetv2 seems to hold, and what to do."""
    if not keys:
        return (
            f"{path} holds no tensors. Choose the file that the training or the "
            f"distillation saved its weights in."
        )
    hint = "It may be another architecture"
    if any(".res_layers." in key for key in keys):
        hint = "It looks like RT-DETR's PResNet"
    elif any(_is_first_hgnet(prefix, keys) for prefix in _prefixes(keys, PARTIAL_ANCHORS)):
        hint = "It looks like HGNet, the predecessor, which has other layers"
    elif any(re.search(r"(^|\.)layer[1-4]\.\d+\.conv\d", key) for key in keys):
        hint = "It looks like a ResNet"
    first = first_of(list(map(printable, keys)), more="")
    return (
        f"{path} holds {len(keys)} tensors but no HGNetv2 backbone (no "
        f"`stem.stem1.conv.weight` under any prefix; the keys begin with {first}). {hint}; "
        f"choose a file with HGNetv2-L, -X or -H weights, or check --subkey."
    )
