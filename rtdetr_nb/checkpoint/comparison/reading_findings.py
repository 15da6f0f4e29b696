"""Findings on tensors whose values are not in the file as they are: computed, quantised, absent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, MISSING, UNUSED, Row
from rtdetr_nb.text.findings import FAILURE, NOTE, Check, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff

# What libraries of quantisation put beside or instead of a weight.
_PACKED = re.compile(
    r"(^|\.)(qweight|qzeros|SCB|weight_packed|weight_scale(_inv)?|weight_zero_point|weight_scb"
    r"|weight\.(SCB|absmax|quant_map|nested_\w+|quant_state\..+|_data|scale|zero_point))$"
)


@check(FAILURE)
def values_lacking(diff: Diff) -> Iterator[Words]:
    """Tensors have a name and a shape in the file, but no values that can be read."""
    reasons: dict[str, list[Row]] = {}
    for row in diff.rows:
        if row.lacking and row.model_key:
            reasons.setdefault(re.sub(r"\[[^]]*\]( of \[[^]]*\])?", "", row.lacking), []).append(
                row
            )
    for rows in reasons.values():
        first = rows[0]
        reason, _, remedy = first.lacking.partition(": ")
        yield Words(
            f"{counted(len(rows), 'tensor')} cannot be read: {first.checkpoint_key} {reason}.",
            first.model_key or "",
            "Without their values these layers would be random.",
            f"{remedy[:1].upper()}{remedy[1:]}." if remedy else "Save the plain weights again.",
        )


@check(FAILURE)
def quantised(diff: Diff) -> Iterator[Words]:
    """Weights are stored as whole numbers, or packed, and the scales that belong to them lack."""
    rows = [row for row in diff.rows if (row.model_key or "").startswith(BACKBONE)]
    whole = [row for row in rows if _is_whole_number(row)]
    keys = [row.checkpoint_key or "" for row in diff.rows if row.status == UNUSED]
    packed = [key for key in keys if _PACKED.search(key)]
    lacking = [row for row in rows if row.status == MISSING and len(row.model_shape or ()) == 4]
    small = [row for row in rows if row.dtype.startswith("float8") and row.checkpoint_key]
    if whole:
        what = f"{counted(len(whole), 'tensor is', 'tensors are')} stored as {_types(whole)}"
    elif packed and lacking:
        what = f"{counted(len(lacking), 'weight is', 'weights are')} packed into other tensors"
    elif packed and small:
        what = f"{counted(len(small), 'tensor is', 'tensors are')} stored as {_types(small)}"
    else:
        return
    yield Words(
        f"{what}: the file is quantised.",
        (packed or [row.model_key or "" for row in whole])[0],
        "Whole and packed numbers mean nothing without the scales that belong to them, which no "
        "model of RT-DETRv2 has.",
        "Take the file from before the quantisation.",
    )


@check(NOTE)
def values_computed(diff: Diff) -> Iterator[Words]:
    """Weights are computed from several tensors of the file, such as a weight and its mask."""
    tensors = diff.checkpoint.tensors
    notes: dict[str, list[str]] = {}
    for row in diff.rows:
        tensor = tensors.get(row.checkpoint_key or "") if row.model_key else None
        if tensor is not None and tensor.note:
            notes.setdefault(tensor.note, []).append(tensor.key)
    for note, keys in notes.items():
        yield Words(f"{counted(len(keys), 'tensor')}: {note}.", first_of(keys, 1))


READING_CHECKS: tuple[Check[Diff], ...] = (values_lacking, quantised, values_computed)
"""All findings on how values lie in the file, in the order in which they are shown."""


def _is_whole_number(row: Row) -> bool:
    in_file = row.checkpoint_key is not None and not row.lacking
    return in_file and row.status != BOOKKEEPING and re.match(r"u?int|bool", row.dtype) is not None


def _types(rows: list[Row]) -> str:
    return ", ".join(dict.fromkeys(row.dtype for row in rows))
