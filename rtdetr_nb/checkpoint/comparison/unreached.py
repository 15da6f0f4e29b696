"""Tensors of the model that lie in the file, but where no rule finds them: names and layouts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.key_info import is_batch_counter
from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import MISMATCHED, MISSING, UNUSED, Row
from rtdetr_nb.checkpoint.naming.dialects import DIALECTS
from rtdetr_nb.checkpoint.naming.rename_hint import shared_shapes, suggest_renames
from rtdetr_nb.checkpoint.naming.renaming import no_counterpart_note, rename_back
from rtdetr_nb.checkpoint.naming.user_renames import Rename
from rtdetr_nb.errors import CheckpointError

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.checkpoint import FileCandidate
    from rtdetr_nb.checkpoint.comparison.diff import Diff

# Shapes alone tell if nearly all convolutions that are missing are there, and of several shapes:
# another network shares one or two by chance.
_SHARE, _LEAST_CONVOLUTIONS, _LEAST_SHAPES = 0.9, 4, 3


@dataclass(frozen=True)
class Unreached:
    """What lies in the file and is not reached.

    Attributes:
        rows: the rows of the model's tensors that stay without a value.
        count: for how many of them the file has a tensor that seems to be theirs.
        example: the key of one.
        renames: renamings that would reach them; () if none could be worked out.
        matched: tensors of the backbone that match with these renamings, without batch counters.
        near: whether all are among the pairs of near names.
    """

    rows: tuple[Row, ...]
    count: int
    example: str
    renames: tuple[Rename, ...] = ()
    matched: int = 0
    near: bool = False


def find_unreached(diff: Diff, chosen: Collection[Row] | None = None) -> Unreached | None:
    """Return what of the backbone lies in the file under names that no rule reaches, or None.

    A file that lacks a part is sound; heads, adapters, other copies and other networks are no part
    of it. `chosen` are the rows that will be written: of a deliberate choice only the parts count
    that it takes something from.
    """
    missing = [row for row in _missing(diff) if _concerns(row, diff, chosen)]
    held = {
        row.checkpoint_key: row.checkpoint_shape
        for row in diff.rows
        if row.status == UNUSED and row.checkpoint_key and row.checkpoint_shape is not None
        if not no_counterpart_note(_behind_root(diff, row.checkpoint_key))
    }
    if not missing or not held:
        return None
    names = {row.model_key for row in missing}
    near = [p for p in diff.near if p.model_key in names and p.checkpoint_key in held]
    renames, matched = _renames(diff, held)
    wanted = {row.model_key or "": row.model_shape or () for row in missing}
    shaped = shared_shapes(wanted, held) if _shapes_tell(wanted, held) else 0
    gained = matched - _matched(diff)
    count = max(len(near), shaped, min(gained, len(missing)))
    if not count:
        return None
    example = near[0].checkpoint_key if near else next(iter(held))
    return Unreached(tuple(missing), count, example, renames, matched, len(near) >= count)


def in_another_layout(diff: Diff, chosen: Collection[Row] | None = None) -> list[Row]:
    """Return the mismatched tensors of the backbone that have as many values as the model's."""
    return [
        row
        for row in diff.rows
        if row.status == MISMATCHED
        and (row.model_key or "").startswith(BACKBONE)
        and row.num_elements == prod(row.checkpoint_shape or (0,))
        and _concerns(row, diff, chosen)
    ]


def _behind_root(diff: Diff, key: str) -> str:
    return diff.checkpoint.name_of[key].removeprefix(diff.candidate.root)


def _missing(diff: Diff) -> list[Row]:
    """Return the backbone's missing rows; affine blocks have findings for themselves."""
    return [
        row
        for row in diff.rows
        if row.status == MISSING
        and (row.model_key or "").startswith(BACKBONE)
        and ".lab." not in (row.model_key or "")
    ]


def _concerns(row: Row, diff: Diff, chosen: Collection[Row] | None) -> bool:
    if chosen is None:
        return True
    everything = sum(each.loadable for each in diff.rows)
    return len(chosen) >= everything or row.part in {each.part for each in chosen}


def _shapes_tell(wanted: dict[str, tuple[int, ...]], held: dict[str, tuple[int, ...]]) -> bool:
    convolutions = {name: shape for name, shape in wanted.items() if len(shape) == 4}
    if len(convolutions) < _LEAST_CONVOLUTIONS:
        return False
    if len(set(convolutions.values())) < _LEAST_SHAPES:
        return False
    return shared_shapes(convolutions, held) >= _SHARE * len(convolutions)


def _renames(diff: Diff, held: dict[str, tuple[int, ...]]) -> tuple[tuple[Rename, ...], int]:
    """Work out renamings and how many tensors match with them, by really applying them."""
    candidate, checkpoint = diff.candidate, diff.checkpoint
    dialect = next(each for each in DIALECTS if each.name == candidate.dialect)
    table = {
        (row.model_key or "").removeprefix(BACKBONE): row
        for row in diff.rows
        if (row.model_key or "").startswith(BACKBONE)
    }
    spelled = {
        name: candidate.prefix + theirs.removeprefix(dialect.prefix)
        for name, theirs in rename_back(table, dialect).items()
    }
    missing = {id(row) for row in _missing(diff)}
    wanted = {
        spelled[name]: row.model_shape or () for name, row in table.items() if id(row) in missing
    }
    names = {checkpoint.name_of[key]: shape for key, shape in held.items()}
    renames = suggest_renames(wanted, names)
    if not renames:
        return (), _matched(diff)
    try:
        tried = replace(checkpoint, renames=(*checkpoint.renames, *renames)).candidates
    except CheckpointError:  # two keys would become one
        return (), _matched(diff)
    matched = max((_fitting(each, diff) for each in tried), default=0)
    return (renames, matched) if matched > _matched(diff) else ((), _matched(diff))


def _fitting(candidate: FileCandidate, diff: Diff) -> int:
    """Return how many tensors of a copy have the name and shape of one of the model's backbone."""
    tensors = candidate.checkpoint.tensors
    return sum(
        diff.model_shapes.get(BACKBONE + origin.name) == tensors[origin.checkpoint_key].shape
        for origin in candidate.origins
        if candidate.prefix == diff.candidate.prefix and not is_batch_counter(origin.name)
    )


def _matched(diff: Diff) -> int:
    return sum(
        row.checkpoint_shape == row.model_shape
        for row in diff.rows
        if (row.model_key or "").startswith(BACKBONE) and not is_batch_counter(row.model_key or "")
    )
