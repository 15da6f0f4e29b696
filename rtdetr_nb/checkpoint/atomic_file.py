"""Writing a file so that its name never stands for half of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rtdetr_nb.errors import TuningError


def write_atomically(
    path: Path,
    write: Callable[[BinaryIO], None],
    prove: Callable[[Path], None],
    *,
    overwrite: bool,
) -> None:
    """Write beside `path`, flush to the disk, prove the result, and only then give it its name.

    Args:
        path: where the file goes.
        write: writes the content to an open file.
        prove: reads the finished file by its temporary path; what it raises cancels the writing.
        overwrite: whether a file of that name may be replaced.

    Raises:
        TuningError: the folder is missing, the file exists, or it cannot be written (a full disk,
            no permission). Nothing is left behind then.
    """
    if path.is_dir():
        raise TuningError(f"{path} is a folder. Give the name of a file to write.")
    if path.exists() and not overwrite:
        raise TuningError(
            f"{path} exists. Choose another name, or allow replacing it "
            f"(overwrite=True, or --force on the command line)."
        )
    if not path.parent.is_dir():
        raise TuningError(f"{path} cannot be written: there is no folder {path.parent}. Make it.")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        prove(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    # torch reports a write that its stream refused as a RuntimeError, without the reason.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TuningError(
            f"{path} cannot be written: {reason}. Free some space or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself last; Windows cannot open folders and needs no such step."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
