"""Which optimizer settings each parameter gets, and which parameters are frozen.

The official code sorts parameters into groups by regular expressions on their names, which is
easily misread; the table says what really happens, without building the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.key_info import KeyInfo
from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

REST = "(all others)"
_PARTS = ("backbone", "encoder", "decoder")  # of the model, as data passes them
_NORM = re.compile(r"norm|\bbn\b")


@dataclass(frozen=True)
class ParameterRow:
    """One parameter, or one norm tensor that freezing turned into a buffer.

    `pattern` matches its name (`REST` if no pattern does). Frozen rows have no pattern or settings.
    """

    name: str
    shape: tuple[int, ...]
    frozen: bool
    pattern: str
    lr: float | None
    weight_decay: float | None


@dataclass(frozen=True)
class GroupSummary:
    """One parameter group, or the frozen tensors: how many tensors and values are in it.

    `what` says what its parameters are of, such as "backbone".
    """

    what: str
    pattern: str
    lr: float | None
    weight_decay: float | None
    tensors: int
    elements: int


@dataclass(frozen=True)
class ParameterTable:
    """Every parameter of the model with its group, in the model's order."""

    rows: tuple[ParameterRow, ...] = field(repr=False)
    groups: tuple[GroupSummary, ...]
    overlapping: tuple[str, ...] = ()

    @property
    def table(self) -> pandas.DataFrame:
        """One line a parameter."""
        import pandas

        return pandas.DataFrame([vars(row) for row in self.rows])

    _repr_pretty_ = show_as_text

    @property
    def summary(self) -> Table:
        """One line a group: what it trains, with which settings, by which pattern."""
        lines = []
        for group in self.groups:
            lr, decay = (
                "-" if value is None else f"{value:g}" for value in (group.lr, group.weight_decay)
            )
            counts = (f"{group.tensors:,}", f"{group.elements:,}")
            lines.append((group.what, *counts, lr, decay, group.pattern))
        footer = (
            f"{len(self.overlapping)} parameters match two patterns, which the official code "
            f"refuses: {first_of(self.overlapping)}"
            if self.overlapping
            else ""
        )
        columns = ("what", "tensors", "values", "lr", "weight decay", "pattern")
        return Table("", columns, tuple(lines), frozenset(columns[1:5]), footer)

    def __str__(self) -> str:
        return self.summary.text()

    def _repr_html_(self) -> str:
        return self.summary.html()


def group_title(names: Sequence[str]) -> str:
    """Say what parameters are of, such as "backbone" or "encoder and decoder norms"."""
    found = {name.partition(".")[0] for name in names}
    parts = [part for part in _PARTS if part in found] + sorted(found.difference(_PARTS))
    listed = " and ".join([", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 1 else parts)
    return listed + (" norms" if names and all(map(_NORM.search, names)) else "")


def explain_config(config: Any) -> ParameterTable:
    """Return the parameter groups that the configuration's optimizer makes.

    Patterns are tried in order as in the official code (`re.findall` on the name); parameters that
    match no pattern are in the last group, with the optimizer's own settings.
    """
    optimizer = config.optimizer
    rows, overlapping = [], []
    for name, info in model_keys(config).items():
        if not _is_learnable(name, info):
            continue
        if not info.trainable:
            rows.append(ParameterRow(name, info.shape, True, "", None, None))
            continue
        matching = [group for group in optimizer.params if re.findall(group.params, name)]
        if len(matching) > 1:
            overlapping.append(name)
        group = matching[0] if matching else None
        rows.append(
            ParameterRow(
                name,
                info.shape,
                False,
                group.params if group else REST,
                _first(group and group.lr, optimizer.lr),
                _first(group and group.weight_decay, optimizer.weight_decay),
            )
        )
    return ParameterTable(tuple(rows), _groups(rows, optimizer), tuple(overlapping))


def _is_learnable(name: str, info: KeyInfo) -> bool:
    """Whether it is a parameter, or would be one if its norm were not frozen."""
    frozen_norm = info.kind == "buffer" and name.endswith((".bn.weight", ".bn.bias"))
    return info.kind == "parameter" or frozen_norm


def _first(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _groups(rows: list[ParameterRow], optimizer: Any) -> tuple[GroupSummary, ...]:
    groups = []
    for pattern in [*(group.params for group in optimizer.params), REST, ""]:
        own = [row for row in rows if row.pattern == pattern]
        if own:
            elements = sum(KeyInfo(row.shape).num_elements for row in own)
            settings = (pattern or "(frozen)", own[0].lr, own[0].weight_decay)
            what = group_title([row.name for row in own])
            groups.append(GroupSummary(what, *settings, len(own), elements))
    return tuple(groups)
