"""The checkpoint files below a folder, told by their names: nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from rtdetr_nb.errors import CheckpointError

SUFFIXES = frozenset({
    ".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pdparams", ".pkl",
})  # fmt: skip
_INDEX = ".index.json"
_MOST = 500
_SEARCH_ENDS = 20_000
_DEPTH = 6


@dataclass(frozen=True)
class FoundFile:
    """A file that is called like a checkpoint; `nbytes` and `modified` (seconds) as on the disk."""

    path: Path
    nbytes: int
    modified: float


def find_checkpoint_files(folder: str | PathLike[str]) -> list[FoundFile]:
    """Return the files below a folder that are called like checkpoints, the newest first.

    At most the newest 500 are returned. Hidden folders are left out, links to folders are not
    followed, and the search goes six folders deep and ends after 20,000 such files.

    Raises:
        CheckpointError: there is no such folder.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {str(root)!r}. Check the path.")
    found = []
    for path in _walk(root):
        try:
            status = path.stat()
        except OSError:  # removed meanwhile, or a broken link
            continue
        found.append(FoundFile(path, status.st_size, status.st_mtime))
        if len(found) == _SEARCH_ENDS:
            break
    return sorted(found, key=lambda file: -file.modified)[:_MOST]


def complete_path(text: str, limit: int = 30) -> list[str]:
    """Return the folders and checkpoint files whose path begins with `text`, folders first."""
    typed = Path(text).expanduser()
    whole = not text or text.endswith("/")
    folder, start = (typed, "") if whole else (typed.parent, typed.name)
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_file(), entry.name))
        return [
            f"{entry}/" if entry.is_dir() else str(entry)
            for entry in entries
            if entry.name.startswith(start)
            and (start.startswith(".") or not entry.name.startswith("."))
            and (entry.is_dir() or is_checkpoint_name(entry.name))
        ][:limit]
    except (OSError, ValueError):  # no such folder, or a path that no file can have
        return []


def is_checkpoint_name(name: str) -> bool:
    """Tell whether a file is called like a checkpoint."""
    return Path(name).suffix.lower() in SUFFIXES or name.endswith(_INDEX)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and depth < _DEPTH)
        yield from (Path(folder) / name for name in sorted(files) if is_checkpoint_name(name))
