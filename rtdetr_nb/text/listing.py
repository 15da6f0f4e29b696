"""Lists of names in a sentence: the first of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice


def first_of(names: Collection[object], limit: int = 3, more: str = " and {} more") -> str:
    """Return the first names, separated by commas, and the number of the rest.

    Args:
        names: in the order in which they are shown.
        limit: how many are shown.
        more: what stands behind them where there are more; `{}` is their number.
    """
    shown = ", ".join(map(str, islice(names, limit)))
    return shown + (more.format(f"{len(names) - limit:,}") if len(names) > limit else "")
