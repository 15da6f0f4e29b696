"""A selection in figures: tensors, values, shares, and the official log to expect."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.key_info import KeyInfo
from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, Row
from rtdetr_nb.checkpoint.official_loader.rules import OfficialMatch, match_officially
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


@dataclass(frozen=True)
class PickedPart:
    """One part of the model: tensors picked, tensors that could be, and the share of its values."""

    part: str
    picked: int
    loadable: int
    share: float


@dataclass(frozen=True)
class SelectionSummary:
    """A selection in figures.

    Attributes:
        tensors: number of picked tensors.
        elements: number of values in them.
        backbone_share: share of the backbone's values that are picked, 0 to 1.
        parts: the same per part of the model, in its order; parts that the file lacks are left out.
        official: what the official loader does with the tuning file of this selection.
    """

    tensors: int
    elements: int
    backbone_share: float
    parts: tuple[PickedPart, ...]
    official: OfficialMatch = field(repr=False)

    @property
    def headline(self) -> str:
        """Tensors, values and the share of the backbone in one sentence."""
        return (
            f"{self.tensors} tensors, {self.elements:,} values, {self.backbone_share:.1%} of the "
            f"backbone."
        )

    @property
    def official_sentence(self) -> str:
        """The official log line in figures."""
        match = self.official
        total = len(match.loaded) + len(match.missed) + len(match.unmatched)
        return (
            f"The official log will list {len(match.missed)} missed and {len(match.unmatched)} "
            f"unmatched; {len(match.loaded)} of the model's {total} tensors are loaded."
        )


def summarise_keys(diff: Diff, keys: Collection[str]) -> SelectionSummary:
    """Count the tensors `keys` of the model and predict the official log; reads no values.

    `keys` may be empty.
    """
    chosen = set(keys)
    rows = [row for row in diff.rows if row.model_key]
    picked = [row for row in rows if row.model_key in chosen]
    backbone = [row for row in rows if (row.model_key or "").startswith(BACKBONE)]
    parts = []
    for part in dict.fromkeys(row.part for row in rows if row.loadable):
        own = [row for row in rows if row.part == part]
        loadable = sum(row.loadable for row in own)
        count = sum(row.model_key in chosen for row in own)
        parts.append(PickedPart(part, count, loadable, _share(own, chosen)))
    return SelectionSummary(
        tensors=len(picked),
        elements=sum(row.num_elements for row in picked),
        backbone_share=_share(backbone, chosen),
        parts=tuple(parts),
        official=match_officially(
            diff.model_shapes, {row.model_key: KeyInfo(row.model_shape or ()) for row in picked}
        ),
    )


def selection_table(summary: SelectionSummary) -> Table:
    """Return the parts of a selection: tensors picked, and the share of the values."""
    rows = tuple(
        (part.part, str(part.picked), str(part.loadable), f"{part.share:.1%}")
        for part in summary.parts
    )
    columns = ("part", "picked", "of tensors", "of values")
    return Table("", columns, rows, frozenset(columns[1:]))


def selection_html(
    diff: Diff, keys: Collection[str], description: str, warnings: Iterable[str]
) -> str:
    """Return a selection as HTML: figures, parts, warnings, the prediction of the official log."""
    summary = summarise_keys(diff, keys)
    warned = "".join(f"<p>{badge('warning')} {shown(text)}</p>" for text in warnings)
    return (
        f"<p><b>{shown(summary.headline)}</b> {shown(description)}</p>"
        f"{selection_table(summary).html()}<p>{shown(summary.official_sentence)}</p>{warned}"
    )


def _share(rows: Iterable[Row], chosen: set[str]) -> float:
    """Return the share of the values that are chosen, without counters and other bookkeeping."""
    learned = [row for row in rows if row.status != BOOKKEEPING]
    total = sum(row.num_elements for row in learned)
    taken = sum(row.num_elements for row in learned if row.model_key in chosen)
    return taken / total if total else 0.0
