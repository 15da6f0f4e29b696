"""What a comparison comes to, in one sentence: it stands above all tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, MATCHED, Row
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


def answer(diff: Diff) -> tuple[str, str]:
    """Return whether the file loads, in a word or two, and how much of it does, as a sentence."""
    backbone, heads = _split([row for row in diff.rows if row.model_key], BACKBONE)
    matched, total = _loaded(backbone)
    word = "Loads" if matched == total else "Loads in part" if matched else "Loads nothing"
    share = _share(backbone)
    found = f"{matched:,} of {total:,} backbone tensors ({share} of the values)"
    head_matched, head_total = _loaded(heads)
    if head_matched:
        found += f" and {head_matched:,} of {head_total:,} of encoder and decoder"
    renamed = any(row.status == MATCHED and _is_renamed(row) for row in diff.rows)
    return word, f"{found}{', after renaming' if renamed and matched else ''}.{_counters(diff)}"


def _is_renamed(row: Row) -> bool:
    """Whether more than the place of its dict in the file stands before the official name."""
    return not (row.checkpoint_key or "").endswith(row.model_key or "")


def _split(rows: list[Row], prefix: str) -> tuple[list[Row], list[Row]]:
    """Split the weights and statistics of the model; bookkeeping is neither."""
    counted_rows = [row for row in rows if row.status != BOOKKEEPING]
    inside = [row for row in counted_rows if (row.model_key or "").startswith(prefix)]
    return inside, [row for row in counted_rows if row not in set(inside)]


def _loaded(rows: list[Row]) -> tuple[int, int]:
    return sum(row.status == MATCHED for row in rows), len(rows)


def _share(rows: list[Row]) -> str:
    """The share of the values that load; never rounded to all or nothing if it is neither."""
    total = sum(row.num_elements for row in rows)
    loaded = sum(row.num_elements for row in rows if row.status == MATCHED)
    if loaded in (0, total):
        return "100 %" if loaded else "0 %"
    return f"{min(max(100 * loaded / total, 0.1), 99.9):.1f} %"


def _counters(diff: Diff) -> str:
    """Why a count of all tensors of the file is larger: norms count their batches."""
    count = sum(row.status == BOOKKEEPING and row.checkpoint_key is not None for row in diff.rows)
    return f" The file also has {counted(count, 'batch counter')}." if count else ""
