"""What the tree shows: its leaves, and the verdict on what is ticked, as plain values."""

from __future__ import annotations

from typing import Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, Row
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.tuning.judged import judge_selection
from rtdetr_nb.errors import UserError
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding, Verdict
from rtdetr_nb.text.html_pieces import WORD_COLORS
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import shape_text
from rtdetr_nb.ui.picking.pattern_cover import branch_path

_HEADS = ("encoder", "decoder")


def listed_rows(diff: Diff) -> list[Row]:
    """The rows of the tree. Encoder and decoder are there where the file has something for them."""
    heads = any(r.part in _HEADS and r.checkpoint_key and r.model_key for r in diff.rows)
    return [row for row in diff.rows if _is_listed(row, heads)]


def _is_listed(row: Row, heads: bool) -> bool:
    if row.model_key is None or (row.status == BOOKKEEPING and not row.loadable):
        return False
    return row.model_key.startswith(BACKBONE) or heads


def leaf(row: Row) -> dict[str, Any]:
    """What the tree shows of one tensor."""
    elements = row.num_elements
    counts = (row.model_key or "").startswith(BACKBONE) and row.status != BOOKKEEPING
    return {
        "name": (row.model_key or "").removeprefix(BACKBONE),
        "path": branch_path(row.model_key or ""),
        "status": row.status,
        "model_shape": shape_text(row.model_shape),
        "file_shape": shape_text(row.checkpoint_shape),
        "file_key": printable(row.checkpoint_key or ""),
        "elements": elements,
        "in_backbone": elements if counts else 0,
        "loadable": row.loadable,
        "note": printable(row.note),
    }


def judge_picked(selection: Selection | None) -> Verdict:
    """The verdict of `convert` on the tuning file of what is ticked."""
    if selection is None:
        nothing = "Nothing is picked: a tuning file needs at least one tensor."
        return Verdict([Finding(FAILURE, nothing)])
    try:
        return judge_selection(selection).verdict
    except UserError as error:  # the file is gone, or was replaced
        return Verdict([Finding(FAILURE, str(error))])


def verdict_values(verdict: Verdict, selection: Selection | None) -> dict[str, Any]:
    """The verdict for the first line of the tree, and its findings for those below."""
    levels = [finding.level for finding in verdict.findings]
    kinds = ((FAILURE, "failure"), (WARNING, "warning"), (NOTE, "note"))
    counts = [counted(levels.count(level), word) for level, word in kinds if level in levels]
    lines = [] if selection is None else [_loads(selection)]
    lines += [f"{', '.join(counts)}."] if counts else []
    return {
        "word": verdict.word,
        "color": WORD_COLORS[verdict.word],
        "text": " ".join(lines),
        "findings": [[f.level, WORD_COLORS[f.level], printable(str(f))] for f in verdict.findings],
    }


def _loads(selection: Selection) -> str:
    """How much of the backbone the tuning file loads."""
    learned = [
        row
        for row in selection.diff.rows
        if (row.model_key or "").startswith(BACKBONE) and row.status != BOOKKEEPING
    ]
    picked = set(selection.keys)
    taken = sum(row.model_key in picked for row in learned)
    return f"The tuning file loads {taken:,} of {len(learned):,} tensors of the backbone."
