"""Writes the tuning file whole or not at all, and reads it back bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.errors import TuningError
from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.text.listing import first_of

if TYPE_CHECKING:
    import numpy as np
    import torch

PROVENANCE = "rtdetr_nb"


@dataclass(frozen=True)
class ReadBack:
    """What a written file returned.

    Attributes:
        equal: for each tensor, by its name in the file, whether it came back bit for bit.
        state_dict: the tensors that a loader finds, by name; shapes and types without values.
    """

    equal: Mapping[str, bool]
    state_dict: Mapping[str, Any]


def write_proved(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    provenance: Mapping[str, Any],
    bare: bool = False,
) -> ReadBack:
    """Write tensors and their provenance, and compare what the file returns with what went in.

    Args:
        path: `.safetensors` writes that format, anything else a torch file. An existing file is
            replaced.
        tensors: by the names that they get in the file.
        provenance: plain values.
        bare: the file is the state dict itself: nothing stands around or beside the tensors.

    Raises:
        TuningError: the file cannot be written, or does not return every tensor bit for bit.
            Nothing is left behind then.
    """
    proofs: list[ReadBack] = []

    def write(temporary: Path) -> None:
        """Write the file, and compare what it returns before it gets its name."""
        if bare:
            _write_bare(temporary, tensors)
        else:
            writer = _write_safetensors if path.suffix == ".safetensors" else _write_torch
            writer(temporary, tensors, provenance)
        proofs.append(_prove(temporary, tensors, path.suffix, bare))

    try:
        write_atomically(path, write)
    # torch reports a write that the disk refused as a RuntimeError, without the reason.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TuningError(
            f"{path} cannot be written: {reason}. Free some space or choose another folder."
        ) from error
    return proofs[0]


def bit_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Compare as bits: a value that is not a number equals itself here."""
    import torch

    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.equal(_bits(first), _bits(second))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor as integers of the same width; as bytes if there is no such type."""
    import torch

    widths = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(widths.get(tensor.element_size(), torch.uint8))


def _write_torch(
    path: Path, tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any]
) -> None:
    import torch

    torch.save({"model": dict(tensors), PROVENANCE: dict(provenance)}, path)


def _write_bare(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    import torch

    torch.save(dict(tensors), path)


def _write_safetensors(
    path: Path, tensors: Mapping[str, torch.Tensor], provenance: Mapping[str, Any]
) -> None:
    from safetensors.torch import save_file

    metadata = {"format": "pt", PROVENANCE: json.dumps(provenance)}
    save_file(dict(tensors), path, metadata)


def _prove(path: Path, tensors: Mapping[str, torch.Tensor], suffix: str, bare: bool) -> ReadBack:
    """Read a written file in one pass and compare every tensor bit for bit.

    A file of torch.save is listed by the official reading (`torch.load`) too, which has to find the
    same names. The values are read one after the other, so that the file does not fill the memory a
    second time.
    """
    written = open_checkpoint(path)
    if suffix == ".safetensors":
        prefix, found = "", written.tensors
    else:
        content = _read_officially(path)
        prefix, found = ("", content) if bare else ("model.", content["model"])
    names = {prefix + name: name for name in tensors}
    keys = [key for key in written.tensors if key in names and names[key] in found]
    equal = dict.fromkeys(tensors, False)
    for key, array in written.iterate_numpy(keys):
        name, dtype = names[key], written.tensors[key].dtype
        equal[name] = bit_equal(_as_tensor(array, dtype), tensors[name])
    wrong = [name for name, same in equal.items() if not same]
    if wrong or len(found) != len(tensors):
        raise TuningError(
            f"What was written did not come back: {len(wrong)} of {len(tensors)} tensors differ "
            f"({first_of(wrong)}). The file was removed; try again, on another disk."
        )
    return ReadBack(equal, found)


def _as_tensor(array: np.ndarray, dtype: str) -> torch.Tensor:
    """Return an array of `iterate_numpy` as a tensor of the type that it has in the file."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if tensor.dtype == getattr(torch, dtype) else tensor.view(getattr(torch, dtype))


def _read_officially(path: Path) -> Mapping[str, Any]:
    import torch

    return torch.load(path, map_location="meta", weights_only=True)
