"""Which known name a person probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(name: object, known: Iterable[str]) -> str:
    """Return "Did you mean 'stem.*'?" if a known name is much like this one, else "".

    Capitals do not count.
    """
    by_lower = {other.lower(): other for other in known}
    close = get_close_matches(str(name).lower(), by_lower, n=1)
    return f"Did you mean {by_lower[close[0]]!r}?" if close else ""
