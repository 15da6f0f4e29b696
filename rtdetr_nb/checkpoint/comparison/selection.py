"""Selections: the tensors that go into the tuning file.

Patterns, parts, blocks or rows make a selection; set operations combine selections. A selection is
saved as JSON and can be made again from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rtdetr_nb.checkpoint.comparison.patterns import (
    check_patterns,
    known_names,
    loadable_names,
    matches,
)
from rtdetr_nb.checkpoint.comparison.row import MISMATCHED, Row
from rtdetr_nb.checkpoint.comparison.selection_summary import selection_html
from rtdetr_nb.errors import SelectionError
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import show_as_text

if TYPE_CHECKING:
    import torch

    from rtdetr_nb.checkpoint.comparison.diff import Diff

_FORMAT = "rtdetr_nb selection 1"


@dataclass(frozen=True)
class Selection:
    """The rows of a comparison that will be loaded, in the model's order.

    `description` says how they were chosen; `warnings` name what may have been overlooked.
    """

    diff: Diff
    rows: tuple[Row, ...] = field(repr=False)
    description: str = "everything that fits"
    warnings: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The selected names in the model."""
        return tuple(row.model_key for row in self.rows if row.model_key)

    @property
    def num_elements(self) -> int:
        """Number of values in all selected tensors."""
        return sum(row.num_elements for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys)

    def __contains__(self, model_key: object) -> bool:
        return model_key in self.keys

    def __or__(self, other: Selection) -> Selection:
        """Everything in either selection."""
        return self._combine(other, "or", set(self.keys) | set(other.keys))

    def __and__(self, other: Selection) -> Selection:
        """What is in both."""
        return self._combine(other, "and", set(self.keys) & set(other.keys))

    def __sub__(self, other: Selection) -> Selection:
        """What is in this one only."""
        return self._combine(other, "without", set(self.keys) - set(other.keys))

    def _combine(self, other: Selection, word: str, keys: set[str]) -> Selection:
        if self.diff.candidate != other.diff.candidate or self.diff.rows != other.diff.rows:
            raise SelectionError(
                "The two selections come from different comparisons. Make both from the same diff."
            )
        if not keys:
            raise SelectionError(
                f"Nothing is left of ({self.description}) {word} ({other.description})."
            )
        return _selection(self.diff, keys, f"({self.description}) {word} ({other.description})")

    def read(self) -> dict[str, torch.Tensor]:
        """Read the selected tensors: official name -> value in the model's type, fixes applied."""
        import torch

        pairs = [(row, row.checkpoint_key) for row in self.rows if row.checkpoint_key is not None]
        values = self.diff.checkpoint.read(dict.fromkeys(key for _, key in pairs))
        tensors = {}
        for row, checkpoint_key in pairs:
            assert row.model_key is not None
            value = values[checkpoint_key]
            if row.fix is not None:
                value = row.fix.apply(value.double())
            is_counter = not row.model_shape and "num_batches_tracked" in row.model_key
            tensors[row.model_key] = value.to(torch.int64 if is_counter else torch.float32)
        return tensors

    def to_json(self) -> str:
        """Return the selection as JSON; `from_json` makes it again from a comparison."""
        return json.dumps(
            {
                "format": _FORMAT,
                "file": self.diff.checkpoint.path.name,
                "candidate": self.diff.candidate.name,
                "description": self.description,
                "keys": list(self.keys),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str, diff: Diff) -> Selection:
        """Make a saved selection again.

        Raises:
            SelectionError: the text is no selection, or names tensors that do not fit here.
        """
        try:
            saved = json.loads(text)
            keys, description = saved["keys"], str(saved["description"])
            if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise SelectionError(
                "The text is no saved selection: expected the JSON that Selection.to_json writes."
            ) from error
        return _selection(diff, set(loadable_names(diff, keys)), description)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        head = (
            f"Selection of {len(self)} tensors ({self.num_elements:,} values): {self.description}"
        )
        return "\n".join([head, *(f"  warning: {warning}" for warning in self.warnings)])

    def _repr_html_(self) -> str:
        return selection_html(self.diff, self.keys, self.description, self.warnings)


def select(
    diff: Diff,
    include: Iterable[str] | str | None = None,
    exclude: Iterable[str] | str = (),
    *,
    parts: Iterable[str] | None = None,
    blocks: Iterable[str] | None = None,
    rows: Iterable[Row | str] | None = None,
) -> Selection:
    """Select tensors of a comparison. All given conditions have to hold.

    Args:
        diff: the comparison.
        include: shell-style patterns on the model's names, with or without `backbone.`
            ("stem.*", "backbone.stages.3.*"); the name of a part selects all of it. None selects
            everything that fits.
        exclude: patterns of what to leave out.
        parts: "stem", "stages.0" to "stages.3", "encoder", "decoder".
        blocks: part and block, such as "stages.2.blocks.0".
        rows: rows of the comparison, or model names.

    Raises:
        SelectionError: a pattern matches nothing, a named tensor does not fit the model, or
            nothing is left.
    """
    conditions = _conditions(diff, include, exclude, parts, blocks, rows)
    description = ", ".join(condition.text for condition in conditions) or "everything that fits"
    chosen = [
        row
        for row in diff.rows
        if row.model_key and all(condition.holds(row) for condition in conditions)
    ]
    keys = {row.model_key for row in chosen if row.loadable and row.model_key}
    if not keys:
        raise SelectionError(
            f"Nothing that fits the model is left ({description}). The comparison has "
            f"{diff.counts['matched']} matched tensors; widen the patterns."
        )
    mismatched = [row.model_key or "" for row in chosen if row.status == MISMATCHED]
    return _selection(diff, keys, description, mismatched)


class _Condition(NamedTuple):
    """One condition of a selection: in words, and as a test of a row."""

    text: str
    holds: Callable[[Row], bool]


def _conditions(
    diff: Diff,
    include: Iterable[str] | str | None,
    exclude: Iterable[str] | str,
    parts: Iterable[str] | None,
    blocks: Iterable[str] | None,
    rows: Iterable[Row | str] | None,
) -> list[_Condition]:
    """Return the conditions that were given."""
    conditions = []
    if include is not None:
        conditions.append(_includes(diff, _as_list(include)))
    if parts is not None:
        conditions.append(_is_in_parts(diff, parts))
    if blocks is not None:
        conditions.append(_is_in_blocks(diff, blocks))
    if rows is not None:
        conditions.append(_is_among(diff, rows))
    left_out = _as_list(exclude)
    if left_out:
        conditions.append(_excludes(diff, left_out))
    return conditions


def _includes(diff: Diff, patterns: Sequence[str]) -> _Condition:
    check_patterns(diff, patterns)
    return _Condition(
        f"include {' '.join(patterns) or 'nothing'}",
        lambda row: any(matches(row, pattern) for pattern in patterns),
    )


def _excludes(diff: Diff, patterns: Sequence[str]) -> _Condition:
    check_patterns(diff, patterns)
    return _Condition(
        f"exclude {' '.join(patterns)}",
        lambda row: not any(matches(row, pattern) for pattern in patterns),
    )


def _is_in_parts(diff: Diff, parts: Iterable[str]) -> _Condition:
    wanted = known_names(parts, {row.part for row in diff.rows if row.model_key}, "part")
    return _Condition(f"parts {' '.join(sorted(wanted))}", lambda row: row.part in wanted)


def _is_in_blocks(diff: Diff, blocks: Iterable[str]) -> _Condition:
    known = {f"{row.part}.{row.block}" for row in diff.rows if row.model_key}
    wanted = known_names(blocks, known, "block")
    return _Condition(
        f"blocks {' '.join(sorted(wanted))}", lambda row: f"{row.part}.{row.block}" in wanted
    )


def _is_among(diff: Diff, rows: Iterable[Row | str]) -> _Condition:
    names = [row if isinstance(row, str) else row.model_key for row in rows]
    wanted = set(loadable_names(diff, names))
    return _Condition(f"{len(wanted)} rows", lambda row: row.model_key in wanted)


def _as_list(names: Iterable[str] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _selection(
    diff: Diff, keys: set[str], description: str, mismatched: Iterable[str] = ()
) -> Selection:
    rows = tuple(row for row in diff.rows if row.model_key in keys)
    warnings = [
        f"{key} is left out: its shape differs from the model's" for key in mismatched
    ] + _without_norm(diff, keys)
    return Selection(diff, rows, description, tuple(warnings))


def _without_norm(diff: Diff, keys: set[str]) -> list[str]:
    """Warn of convolutions that are taken without their norm: they belong together."""
    norms: dict[str, list[str]] = {}
    for row in diff.rows:
        match = re.match(r"(.*)\.(?:bn|norm)\.(?!num_batches_tracked)\w+$", row.model_key or "")
        if match and row.model_key:
            norms.setdefault(match[1], []).append(row.model_key)
    units = [
        unit
        for unit in (re.sub(r"\.conv\.(1\.)?weight$", "", key) for key in _in_order(diff, keys))
        if unit in norms and not keys.issuperset(norms[unit])
    ]
    if not units:
        return []
    return [
        f"{len(units)} convolutions are taken without all of their norm ({first_of(units)}): the "
        f"statistics of the norm belong to the convolution's outputs"
    ]


def _in_order(diff: Diff, keys: set[str]) -> list[str]:
    """Return `keys` in the order of the model."""
    return [row.model_key for row in diff.rows if row.model_key in keys and row.model_key]
