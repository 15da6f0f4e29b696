"""The terminal form of objects that a notebook shows as tables."""

from __future__ import annotations

from typing import Any


def show_as_text(value: object, printer: Any, cycle: bool) -> None:
    """Print `str(value)`; as a class's `_repr_pretty_` it takes the place of its long `repr`."""
    printer.text(type(value).__name__ if cycle else str(value))
