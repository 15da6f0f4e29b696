"""Text for people: the terminal form of what a notebook shows as tables, and counts."""

from __future__ import annotations

from typing import Any


def show_as_text(value: object, printer: Any, cycle: bool) -> None:
    """Print `str(value)`; as a class's `_repr_pretty_` it takes the place of its long `repr`."""
    printer.text(type(value).__name__ if cycle else str(value))


def counted(count: int, one: str, many: str = "") -> str:
    """A number and what it counts: "1 tensor", "400 tensors"; `many` defaults to `one` and s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
