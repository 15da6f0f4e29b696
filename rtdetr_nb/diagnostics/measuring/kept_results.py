"""Results that depend on nothing but their inputs are computed once and kept, by content.

What random weights know of some pictures takes most of a probe's time and never changes. It is kept
in memory and in small files below the user's cache folder (`RTDETR_NB_CACHE` names another one).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rtdetr_nb import __version__
from rtdetr_nb.files.atomic_file import write_atomically

FOLDER_VARIABLE = "RTDETR_NB_CACHE"
_MOST_FILES = 200
_MOST_IN_MEMORY = 32

Arrays = dict[str, np.ndarray]

_memory: dict[str, Arrays] = {}


def digest(parts: Iterable[object]) -> str:
    """Digest of arrays (by type, shape and values) and of everything else by its text."""
    made = hashlib.blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, np.ndarray):
            made.update(f"{part.dtype} {part.shape} ".encode())
            made.update(np.ascontiguousarray(part).data)
        else:
            made.update(f"{len(text := str(part))} {text} ".encode(errors="surrogatepass"))
    return made.hexdigest()


def compute_once(
    kind: str, inputs: Iterable[object], code: Iterable[str], compute: Callable[[], Arrays]
) -> Arrays:
    """Return what `compute` returns, from an earlier call with the same inputs if there was one.

    Args:
        kind: one word for the name of the file.
        inputs: all that the result depends on; see `digest`.
        code: names of the modules whose code makes the result: where it changes, so may the result.
        compute: called if nothing is kept.
    """
    key = f"{kind}-{digest([__version__, *map(_source, code), *inputs])}"
    found = _memory.get(key) or _read(key)
    if found is None:
        found = compute()
        _write(key, found)
    _memory[key] = found
    while len(_memory) > _MOST_IN_MEMORY:
        del _memory[next(iter(_memory))]
    return found


def _source(module: str) -> str:
    file = import_module(module).__file__
    return digest([Path(file).read_bytes()]) if file else module


def _folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "rtdetr_nb"


def _read(key: str) -> Arrays | None:
    # A file that is gone, cut off or of another kind is as good as none.
    try:
        with np.load(_folder() / f"{key}.npz", allow_pickle=False) as kept:
            return dict(kept)
    except Exception:  # noqa: BLE001 - numpy and zipfile fail in many ways on a damaged file
        return None


def _write(key: str, arrays: Arrays) -> None:
    """Keep it on the disk, if the disk allows: nothing depends on it."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}.npz", lambda path: _save(path, arrays))
        kept = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
        for file in kept[:-_MOST_FILES]:
            file.unlink(missing_ok=True)


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)
