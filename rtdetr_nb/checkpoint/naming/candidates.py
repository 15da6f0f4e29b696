"""Finds the backbones of a checkpoint by their tensors, under any wrapper.

A candidate is one copy of HGNetv2 inside the file. Files often hold several: the averaged and the
raw weights, the student and the teacher. Candidates are ordered by preference, and reports name the
one that was taken. If two are equally likely, the user has to choose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar

from rtdetr_nb.architecture.smaller_sizes import smaller_tables
from rtdetr_nb.architecture.state_dict_table import variant_tables
from rtdetr_nb.checkpoint.naming.anchors import anchored_prefixes
from rtdetr_nb.checkpoint.naming.copy_roles import copy_roles
from rtdetr_nb.checkpoint.naming.dialects import recognise_dialect
from rtdetr_nb.checkpoint.naming.renaming import Origin, rename
from rtdetr_nb.checkpoint.naming.searched_names import SearchedName, plain_names_behind
from rtdetr_nb.checkpoint.naming.wrapper_words import WRAPPER_WORDS
from rtdetr_nb.errors import CheckpointError
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.table import Table

TOP_LEVEL = "top level"

# A backbone's names begin with these words. Without a prefix, other tensors may lie beside them.
_OWN_NAME = re.compile(r"(stem|stages_?\d?|embedder|encoder|head|last_conv|fc|\d+)\.")


_BACKBONE_AT_END = re.compile(rf"(^|\.)backbone\.(({'|'.join(WRAPPER_WORDS)})\.)*$")


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
        other_size: "B0" to "B3" by shapes, which RT-DETRv2 has no configuration for.
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
    other_size: str | None = None

    @property
    def size(self) -> str:
        """The size as it is shown: "L", "B0", or "?" where no size has these shapes."""
        return self.variant or self.other_size or "?"

    @property
    def sized(self) -> str:
        """What it is, to stand in a sentence."""
        return "an HGNetv2 of another size" if self.size == "?" else f"HGNetv2-{self.size}"

    @cached_property
    def root(self) -> str:
        """Prefix of the whole model around the backbone, where encoder and decoder would lie."""
        return _BACKBONE_AT_END.sub(r"\1", self.prefix)

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """Order of preference: student before teacher, averaged weights before raw ones."""
        owner = {"student": 0, "teacher": 2}.get(self.role.split(",")[0], 1)
        return owner, self.variant is None, self.role.endswith("raw")


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


def candidate_table(candidates: Iterable[Candidate]) -> Table:
    """Return the backbones of a file, the likeliest first."""
    rows = tuple(
        (c.name, c.role, c.size, c.dialect, str(c.tensors), c.dtype, c.prefix or "-")
        for c in candidates
    )
    columns = ("name", "role", "HGNetv2", "dialect", "tensors", "dtype", "prefix")
    return Table(
        "backbones in the file, the likeliest first:", columns, rows, frozenset({"tensors"})
    )


class Candidates(list[AnyCandidate]):
    """A list of candidates that shows itself as a table in a notebook."""

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return candidate_table(self).text()

    def _repr_html_(self) -> str:
        return candidate_table(self).html()


def find_candidates(
    tensors: Mapping[str, NamedTensor],
    modules: Mapping[str, NamedModule],
    names: Collection[SearchedName],
    beside: Collection[str] = (),
) -> Candidates[Candidate]:
    """Return every HGNetv2 among the tensors of a file, the one that is most likely meant first.

    Args:
        tensors: all tensors of the file by their dotted paths, in the order of the file.
        modules: the pickled modules by their paths; their norms know their epsilon.
        names: the name of each tensor that is searched.
        beside: what lies at the top of the file; see `copy_roles`.
    """
    keys = {each.name for each in names}
    prefixes = anchored_prefixes([each.name for each in names])
    found = [_describe(tensors, modules, names, prefix) for prefix in prefixes]
    found = [candidate for candidate in found if candidate.tensors]
    named = _with_names_and_roles(found, keys, beside)
    return Candidates(sorted(named, key=lambda candidate: candidate.rank))


def candidates_called(candidates: Sequence[AnyCandidate], name: str) -> list[AnyCandidate]:
    """Return the candidates of this name, or else of this prefix, or else of this role.

    Raises:
        CheckpointError: there is none.
    """
    for same in (
        lambda c: c.name == name,
        lambda c: c.prefix.rstrip(".") == name.rstrip("."),
        lambda c: name in re.split(r", ", c.role),
    ):
        chosen = [candidate for candidate in candidates if same(candidate)]
        if chosen:
            return chosen
    listed = ", ".join(candidate.name for candidate in candidates)
    raise CheckpointError(f"There is no backbone called {name!r} in the file. It holds: {listed}.")


def _describe(
    tensors: Mapping[str, NamedTensor],
    modules: Mapping[str, NamedModule],
    searched: Collection[SearchedName],
    prefix: str,
) -> Candidate:
    plain = plain_names_behind(searched, prefix)
    names = {name: key for name, (key, _) in plain.items()}
    rules = dict(plain.values())
    dialect = recognise_dialect(name for name in names if _OWN_NAME.match(name))
    eps = _norm_eps(modules, {key: name for name, key in names.items()})
    known = _all_backbone_names()
    origins = [
        replace(origin, rules=(*rules[origin.checkpoint_key], *origin.rules))
        for origin in rename(names, dialect, eps)
        if origin.name in known
    ]
    shapes = {o.name: tensors[o.checkpoint_key].shape for o in origins}
    size = _size(shapes)
    dtypes = Counter(tensors[o.checkpoint_key].dtype for o in origins)
    floating = [dtype for dtype, _ in dtypes.most_common() if "float" in dtype]
    fused = any("fused bias" in origin.rules for origin in origins)
    return Candidate(
        name=prefix,
        prefix=prefix,
        dialect=dialect.name,
        variant=size if size in variant_tables() else None,
        other_size=size if size in smaller_tables() else None,
        role="model",
        tensors=len(origins),
        dtype=", ".join(floating),
        notes=("Its norms are folded into the convolutions (a deployed model).",) if fused else (),
        origins=tuple(origins),
    )


def _norm_eps(modules: Mapping[str, NamedModule], names: Mapping[str, str]) -> dict[str, float]:
    """Return the epsilons that pickled norms carry, by the plain name of the norm.

    `names` are the plain names of the tensors by their keys; a norm's lies above its tensors.
    """
    norms = {key.rpartition(".")[0]: name.rpartition(".")[0] for key, name in names.items()}
    found = ((norms.get(key), module.attributes.get("eps")) for key, module in modules.items())
    return {name: float(eps) for name, eps in found if name and isinstance(eps, int | float)}


@lru_cache(maxsize=1)
def _all_backbone_names() -> frozenset[str]:
    return frozenset(name for table in variant_tables().values() for name in table)


def _size(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return the size that most shapes agree with, if more than half of them do.

    Where a part of a backbone fits several sizes, one of RT-DETRv2 is meant.
    """
    weights = {name: shape for name, shape in shapes.items() if len(shape) > 0}
    tables = {**variant_tables(), **smaller_tables()}
    agreed = {
        size: sum(
            name in table and table[name].shape == tuple(shape) for name, shape in weights.items()
        )
        for size, table in tables.items()
    }
    best = max(agreed, key=lambda size: agreed[size])
    return best if 2 * agreed[best] > len(weights) else None


def _with_names_and_roles(
    found: list[Candidate], keys: Collection[str], beside: Collection[str]
) -> list[Candidate]:
    roots = Counter(candidate.root for candidate in found)
    roles = copy_roles([candidate.prefix for candidate in found], keys, beside)
    result = []
    for candidate, (role, notes) in zip(found, roles, strict=True):
        place = candidate.root if roots[candidate.root] == 1 else candidate.prefix
        named = place.rstrip(".") or TOP_LEVEL
        result.append(replace(candidate, name=named, role=role, notes=candidate.notes + notes))
    return result
