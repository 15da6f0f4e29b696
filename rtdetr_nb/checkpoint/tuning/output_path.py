"""Checks the path of a tuning file before anything is read or written."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path

from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.errors import TuningError

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""Endings of a tuning file: `.safetensors` is that format, the others are files of torch.save."""


class OutputExistsError(TuningError):
    """The output exists, and nothing says that it may be replaced."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} exists. Choose another name, or allow replacing it "
            f"(overwrite=True, or --force on the command line)."
        )
        self.path = path


def check_output_path(
    path: str | PathLike[str], sources: Iterable[Checkpoint], *, overwrite: bool
) -> Path:
    """Return the path if a tuning file may be written there.

    Args:
        path: the file to write.
        sources: checkpoints that are read; none of their files is ever replaced.
        overwrite: replace an existing file.

    Raises:
        TuningError: the name does not end in one of `SUFFIXES` or cannot be a file's, its folder
            does not exist, the path is a folder or one of the files that are read, or it exists
            and `overwrite` is False.
    """
    if not fspath(path).strip():
        raise TuningError("There is no name for the file. Give one, such as tuning.pth.")
    path = Path(path)
    exists = _exists(path)
    if path.is_dir():
        raise TuningError(f"{path} is a folder. Give the name of a file to write.")
    if path.suffix not in SUFFIXES:
        raise TuningError(
            f"The output {path} ends in {path.suffix or 'nothing'}; expected one of "
            f"{', '.join(SUFFIXES)}."
        )
    if not exists:
        if not path.parent.is_dir():
            raise TuningError(
                f"{path} cannot be written: there is no folder {path.parent}. Make it."
            )
        return path
    _refuse_overwriting_sources(path, sources)
    if not overwrite:
        raise OutputExistsError(path)
    return path


def _exists(path: Path) -> bool:
    """Return whether there is a file; a link that leads nowhere is one."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TuningError(
            f"{str(path)!r} cannot be written: {reason}. Give another name."
        ) from error
    return True


def _refuse_overwriting_sources(path: Path, sources: Iterable[Checkpoint]) -> None:
    """Refuse to replace what is read: it may hold more than a tuning file does."""
    files = (file for source in sources for file in source.files)
    if path.exists() and any(path.samefile(file) for file in files if file.exists()):
        raise TuningError(
            f"{path} is what the tensors come from, and may hold more than the tuning file would. "
            "Give another name for the output."
        )
