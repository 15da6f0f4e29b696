"""Which files are ranked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rtdetr_nb.checkpoint.reading.find_files import is_checkpoint_name
from rtdetr_nb.diagnostics.ranking.epoch import natural_order
from rtdetr_nb.errors import CheckpointError
from rtdetr_nb.files.pasted_path import pasted_path

Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A folder with checkpoints, a file, or several of both."""

_PART = re.compile(r"-\d{5}-of-\d{5}\.")  # of a checkpoint that its index names


def files_to_rank(given: Files) -> list[Path]:
    """Every file, in natural order and once; of a folder those directly in it.

    Raises:
        CheckpointError: nothing is given, or a folder holds no checkpoint.
    """
    one = isinstance(given, str | os.PathLike)
    paths = [pasted_path(each, CheckpointError) for each in ([given] if one else given)]  # pyright: ignore[reportGeneralTypeIssues]
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _in_folder(path) if path.is_dir() and not _is_checkpoint(path) else [path]:
            found.setdefault(Path(os.path.realpath(file)), file)
    if not found:
        raise CheckpointError("There are no files to rank. Give some, or a folder that holds some.")
    return sorted(found.values(), key=natural_order)


def names_of(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [path.parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*own[-depth:])) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _is_checkpoint(folder: Path) -> bool:
    """Whether the folder is one checkpoint, as torch.distributed writes them."""
    return (folder / ".metadata").is_file()


def _in_folder(folder: Path) -> list[Path]:
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    files = [p for p in inside if is_checkpoint_name(p.name) and not p.is_dir()]
    kept = [p for p in files if not _PART.search(p.name)] or files
    if not kept:
        raise CheckpointError(
            f"There is no checkpoint directly in {folder} (.pth, .pt, .safetensors and so on). "
            "Give the folder that holds them, or the files themselves."
        )
    return kept
