"""Checks the names and patterns of a selection, and suggests what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import MISMATCHED, Row
from rtdetr_nb.errors import SelectionError
from rtdetr_nb.text.suggestion import suggest

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


def matches(row: Row, pattern: str) -> bool:
    """Return whether a shell-style pattern or the beginning of a name matches this row."""
    key = row.model_key or ""
    return any(
        fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")
        for name in (key, key.removeprefix(BACKBONE))
    )


def check_patterns(diff: Diff, patterns: Iterable[str]) -> None:
    """Check that every pattern matches a tensor, and that exact names can be loaded.

    Raises:
        SelectionError: a pattern matches nothing, or a name cannot be loaded.
    """
    for pattern in patterns:
        rows = [row for row in diff.rows if row.model_key and matches(row, pattern)]
        if not rows:
            parts = {f"{row.part}.*" for row in diff.rows if row.model_key}
            hint = suggest(pattern.removeprefix(BACKBONE), _patterns(diff)) or (
                f"The parts are {_listed(parts)}."
            )
            raise SelectionError(f"No tensor of the model matches {pattern!r}. {hint}")
        if len(rows) == 1 and rows[0].model_key in (pattern, BACKBONE + pattern):
            loadable_names(diff, [rows[0].model_key])


def known_names(names: Iterable[str] | str, known: set[str], kind: str) -> set[str]:
    """Return the names as a set, if all are known.

    Raises:
        SelectionError: one is not.
    """
    wanted = {names} if isinstance(names, str) else set(names)
    unknown = sorted(wanted - known)
    if unknown:
        hint = suggest(unknown[0], known) or f"Known: {_listed(known)}."
        raise SelectionError(f"The model has no {kind} {unknown[0]!r}. {hint}")
    return wanted


def loadable_names(diff: Diff, keys: Iterable[Any]) -> list[str]:
    """Return the names as a list, if every one can be loaded from this comparison.

    Raises:
        SelectionError: one cannot.
    """
    rows = {row.model_key: row for row in diff.rows if row.model_key}
    keys = list(keys)
    for key in keys:
        row = rows.get(key)
        if row is None:
            hint = suggest(str(key), rows) or "diff.table lists the names."
            raise SelectionError(f"The model has no tensor {key!r}. {hint}")
        if row.status == MISMATCHED:
            raise SelectionError(
                f"{key} cannot be taken: the file has {_shape(row.checkpoint_shape)} "
                f"({row.checkpoint_key}), the model {_shape(row.model_shape)}. Leave it out, or "
                f"change the configuration to the file's architecture."
            )
        if not row.loadable:
            reason = "the file lacks it" if row.checkpoint_key is None else row.note
            raise SelectionError(f"{key} cannot be taken: {reason}. Leave it out.")
    return keys


def _patterns(diff: Diff) -> set[str]:
    """Return all names without `backbone.`, and a pattern for each level above them."""
    patterns = set()
    for row in diff.rows:
        words = (row.model_key or "").removeprefix(BACKBONE).split(".")
        patterns |= {".".join([*words[:end], "*"]) for end in range(1, len(words))}
        patterns.add(".".join(words))
    return patterns


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else str(list(shape))
