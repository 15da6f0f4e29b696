"""Results know the name of their picture, not the code that draws it.

A result of `diagnostics` or `datasets` has a method `figure()`, and matplotlib belongs to
`ui/figures`, which imports these results. The name is looked up when the picture is asked for, so
that nothing below `ui` imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def draw(picture: str, result: object, **options: Any) -> Any:
    """Return the picture of a result as a `matplotlib.figure.Figure`.

    Args:
        picture: the file below `ui/figures` that draws it, by a function `draw_` and its name.
        result: what is drawn.
        options: passed on.
    """
    module = import_module(f"rtdetr_nb.ui.figures.{picture}")
    return getattr(module, f"draw_{picture}")(result, **options)
