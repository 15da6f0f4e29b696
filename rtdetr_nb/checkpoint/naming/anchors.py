"""Where the backbones of a file begin: the prefixes before names that only HGNetv2 has."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from rtdetr_nb.checkpoint.naming.dialects import DIALECTS, PARTIAL_ANCHORS
from rtdetr_nb.checkpoint.naming.wrapper_words import without_wrappers, wrapped_prefix

# Its stem is a plain chain and its blocks end in channel attention; HGNetv2 has neither.
_FIRST_HGNET = r"(stem\.(stem\.)?\d+\.(conv|bn)\.|stages\.\d+\.blocks\.\d+\.att\.)"


def anchored_prefixes(names: Collection[str]) -> list[str]:
    """Return the prefix of every backbone, in the order of the names.

    Words of wrappers inside the names are looked through; those before them are in the prefix.
    """
    whole = _prefixes(names, dict.fromkeys(dialect.anchor for dialect in DIALECTS))
    partial = _prefixes(names, PARTIAL_ANCHORS) if not whole else []
    return whole or [prefix for prefix in partial if not _is_first_hgnet(prefix, names)]


def looks_like_first_hgnet(names: Collection[str]) -> bool:
    """Whether these are names of HGNetv2's predecessor."""
    return any(_is_first_hgnet(prefix, names) for prefix in _prefixes(names, PARTIAL_ANCHORS))


def _prefixes(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    anchors = [re.compile(pattern) for pattern in patterns]
    found: dict[str, None] = {}
    for name in names:
        plain, _ = without_wrappers(name)
        for anchor in anchors:
            if match := anchor.match(plain):
                found[wrapped_prefix(name, match["prefix"])] = None
    return list(found)


def _is_first_hgnet(prefix: str, names: Iterable[str]) -> bool:
    """Recognise HGNetv2's predecessor, whose stages have similar names."""
    pattern = re.compile(re.escape(prefix) + _FIRST_HGNET)
    return any(pattern.match(name) for name in names)
