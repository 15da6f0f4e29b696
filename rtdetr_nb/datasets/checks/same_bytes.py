"""Picture files with the same bytes: twice in a split, or in both splits."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from hashlib import sha256
from pathlib import Path

_ENDS = 1 << 14  # bytes at each end of a file that tell most files apart


def same_bytes(paths: Iterable[Path]) -> list[list[Path]]:
    """Group files that hold the same bytes; each group has two or more, in the order given.

    Files are first told apart by their length, then by their ends, so that few are read whole. A
    file that cannot be read is in no group.
    """
    groups = [list(paths)]
    for key in (_length, _hash_of_ends, _hash_of_all):
        groups = [group for whole in groups for group in _divide(whole, key)]
    return groups


def _divide(paths: list[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    found: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            found[key(path)].append(path)
        except OSError:
            continue
    return [group for group in found.values() if len(group) > 1]


def _length(path: Path) -> int:
    return path.stat().st_size


def _hash_of_ends(path: Path) -> bytes:
    with path.open("rb") as file:
        digest = sha256(file.read(_ENDS))
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(_ENDS))
    return digest.digest()


def _hash_of_all(path: Path) -> bytes:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
