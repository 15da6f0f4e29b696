"""The tuning file itself: written whole or not at all, and read back bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.errors import TuningError
from rtdetr_nb.files.atomic_file import write_atomically

if TYPE_CHECKING:
    import torch

PROVENANCE = "rtdetr_nb"


def write_proved(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    provenance: Mapping[str, Any],
    *,
    overwrite: bool,
) -> dict[str, bool]:
    """Write tensors and their provenance, and compare what the file returns with what went in.

    Args:
        path: `.safetensors` writes that format, anything else a torch file.
        tensors: by the names that they get in the file.
        provenance: plain values.
        overwrite: replace an existing file.

    Returns:
        Whether each tensor came back bit for bit.

    Raises:
        TuningError: it cannot be written, or did not come back. Nothing is left behind then.
    """
    equal: dict[str, bool] = {}

    def write(temporary: Path) -> None:
        """Write the file, and compare what it returns before it gets its name."""
        writer = _write_safetensors if path.suffix == ".safetensors" else _write_torch
        writer(temporary, tensors, provenance)
        equal.update(_proof(temporary, tensors, path.suffix))

    _write_safely(path, write, overwrite)
    return equal


def bit_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Compare as bytes: a value that is not a number equals itself here."""
    import torch

    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    as_bytes = [
        value.detach().contiguous().reshape(-1).view(torch.uint8) for value in (first, second)
    ]
    return torch.equal(*as_bytes)


def _write_safely(path: Path, write: Callable[[Path], None], overwrite: bool) -> None:
    if path.is_dir():
        raise TuningError(f"{path} is a folder. Give the name of a file to write.")
    if path.exists() and not overwrite:
        raise TuningError(
            f"{path} exists. Choose another name, or allow replacing it "
            f"(overwrite=True, or --force on the command line)."
        )
    if not path.parent.is_dir():
        raise TuningError(f"{path} cannot be written: there is no folder {path.parent}. Make it.")
    try:
        write_atomically(path, write)
    # torch reports a write that the disk refused as a RuntimeError, without the reason.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TuningError(
            f"{path} cannot be written: {reason}. Free some space or choose another folder."
        ) from error


def _write_torch(
    path: Path, tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any]
) -> None:
    import torch

    torch.save({"model": dict(tensors), PROVENANCE: dict(provenance)}, path)


def _write_safetensors(
    path: Path, tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any]
) -> None:
    from safetensors.torch import save_file

    metadata = {"format": "pt", PROVENANCE: json.dumps(provenance)}
    save_file(dict(tensors), path, metadata)


def _proof(path: Path, tensors: Mapping[str, torch.Tensor], suffix: str) -> dict[str, bool]:
    """Read a written file again and compare every tensor bit for bit.

    The official reading (`torch.load`) has to find the same names; the values are read one after
    the other, so that the file does not fill the memory a second time.
    """
    written = open_checkpoint(path)
    prefix = "" if suffix == ".safetensors" else "model."
    names = set(written.tensors) if not prefix else _officially_read_names(path)
    equal = {}
    for name, value in tensors.items():
        key = prefix + name
        found = name in names and key in written.tensors
        equal[name] = found and bit_equal(written.read([key])[key], value)
    wrong = [name for name, same in equal.items() if not same]
    if wrong or len(names) != len(tensors):
        raise TuningError(
            f"What was written did not come back: {len(wrong)} of {len(tensors)} tensors differ "
            f"({', '.join(wrong[:3])}). The file was removed; try again, on another disk."
        )
    return equal


def _officially_read_names(path: Path) -> set[str]:
    import torch

    return set(torch.load(path, map_location="meta", weights_only=True)["model"])
