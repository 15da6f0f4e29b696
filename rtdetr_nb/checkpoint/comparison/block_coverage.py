"""How much of each block of the backbone a comparison or a selection loads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, MATCHED, MISMATCHED, MISSING, Row
from rtdetr_nb.checkpoint.comparison.selection import Selection

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


@dataclass(frozen=True)
class BlockCoverage:
    """One block ("stem1", "downsample", "blocks.0") of a part ("stem", "stages.0" to "stages.3").

    `loaded`, `mismatched` and `missing` are shares of its values, 0 to 1; the rest fits but was not
    picked. `num_mismatched` and `num_missing` count tensors; `rows` are its tensors.
    """

    part: str
    block: str
    tensors: int
    loaded: float
    mismatched: float
    missing: float
    num_mismatched: int
    num_missing: int
    rows: tuple[Row, ...] = field(default=(), repr=False)

    @property
    def words(self) -> str:
        """The share that loads and the tensors that do not fit, in words."""
        counts = (("mismatched", self.num_mismatched), ("missing", self.num_missing))
        unfit = [f"{count} {word}" for word, count in counts if count]
        return ", ".join([f"{self.loaded:.0%} loads", *unfit])


def block_coverage(diff: Diff, selection: Selection | None = None) -> tuple[BlockCoverage, ...]:
    """Return the coverage of every block of the backbone, in the model's order.

    Args:
        diff: the comparison.
        selection: count only what is picked as loaded; everything that fits if None.
    """
    picked = None if selection is None else set(selection.keys)
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in diff.rows:
        if (row.model_key or "").startswith(BACKBONE) and row.status != BOOKKEEPING:
            grouped.setdefault((row.part, row.block), []).append(row)
    return tuple(_coverage(part, block, rows, picked) for (part, block), rows in grouped.items())


def _coverage(part: str, block: str, rows: list[Row], picked: set[str] | None) -> BlockCoverage:
    values: Counter[str] = Counter()
    for row in rows:
        taken = row.status != MATCHED or picked is None or row.model_key in picked
        values[row.status if taken else ""] += row.num_elements
    total = sum(values.values())
    return BlockCoverage(
        part,
        block,
        len(rows),
        loaded=values[MATCHED] / total,
        mismatched=values[MISMATCHED] / total,
        missing=values[MISSING] / total,
        num_mismatched=sum(row.status == MISMATCHED for row in rows),
        num_missing=sum(row.status == MISSING for row in rows),
        rows=tuple(rows),
    )
