"""What is in a file, as tables: its backbones, its top level, what it says about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.naming.candidates import candidate_table
from rtdetr_nb.checkpoint.reading.metadata import dtype_counts, plain_values
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.table import MOST_ROWS, Table

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.checkpoint import Checkpoint


def checkpoint_title(checkpoint: Checkpoint) -> str:
    """Return the sentence that says what sort of file it is and how large."""
    nbytes = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    types = ", ".join(
        f"{count:,} {dtype}" for dtype, count in dtype_counts(checkpoint.tensors).items()
    )
    return (
        f"{checkpoint.path}: {checkpoint.container}, {len(checkpoint.tensors):,} tensors "
        f"({types}), {nbytes / 1e6:,.1f} MB"
    )


def checkpoint_tables(checkpoint: Checkpoint) -> list[Table]:
    """Return the tables that show a file: backbones, top level, what it says about itself."""
    candidates = checkpoint.candidates
    tables = [candidate_table(candidates)] if candidates else []
    tables.append(contents_table(checkpoint))
    values = tuple(plain_values(checkpoint.tree).items())
    if values:
        tables.append(Table("what it says about itself:", ("name", "value"), values))
    return tables


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return what is in a file as plain text."""
    tables = [table.text() for table in checkpoint_tables(checkpoint)]
    return "\n".join([checkpoint_title(checkpoint), *tables])


def checkpoint_html(checkpoint: Checkpoint) -> str:
    """Return what is in a file as HTML."""
    tables = "".join(table.html() for table in checkpoint_tables(checkpoint))
    missing = "" if checkpoint.candidates else "<p>There is no HGNetv2 backbone in it.</p>"
    notes = "".join(f"<p>{shown(note)}</p>" for note in candidate_notes(checkpoint))
    return f"<p><b>{shown(checkpoint_title(checkpoint))}</b></p>{missing}{tables}{notes}"


def candidate_notes(checkpoint: Checkpoint) -> list[str]:
    """Return what is worth knowing about the backbones of a file, each note once."""
    return list(dict.fromkeys(note for c in checkpoint.candidates for note in c.notes))


def contents_table(checkpoint: Checkpoint) -> Table:
    """Return the top level of a file: tensors and bytes below each key."""
    groups: dict[str, list[int]] = {}
    for key, tensor in checkpoint.tensors.items():
        groups.setdefault(key.partition(".")[0], []).append(tensor.nbytes)
    largest = sorted(groups, key=lambda name: -sum(groups[name]))
    rows = tuple(
        (name, str(len(groups[name])), f"{sum(groups[name]) / 1e6:,.1f}")
        for name in largest[:MOST_ROWS]
    )
    footer = f"and {len(largest) - len(rows)} more" if len(largest) > len(rows) else ""
    columns = ("top-level key", "tensors", "MB")
    return Table("contents:", columns, rows, frozenset(columns[1:]), footer)
