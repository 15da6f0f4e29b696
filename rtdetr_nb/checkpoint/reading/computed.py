"""Tensors whose values are computed from several tensors of a file: sparse, pruned, normalised."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.reading.arrays import read_array
from rtdetr_nb.checkpoint.reading.storage import OpenFiles
from rtdetr_nb.checkpoint.reading.tensor_info import ITEM_SIZES, TensorInfo
from rtdetr_nb.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np


def read_floats(tensor: TensorInfo, files: OpenFiles) -> np.ndarray:
    """Read a tensor of any type of numbers as float64."""
    import numpy as np

    array = read_array(tensor, files)
    if tensor.dtype == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def result_dtype(dtype: str) -> str:
    """The type of a result: float64 where the parts are, else float32, which holds all others."""
    return "float64" if dtype == "float64" else "float32"


def is_readable(tensor: TensorInfo) -> bool:
    """Whether `read_floats` can read it."""
    return not tensor.lacking and not tensor.dtype.startswith(("float8", "complex"))


@dataclass(frozen=True, slots=True)
class SparseStorage:
    """A sparse tensor as the storage of a dense one; see `storage.Storage`.

    `parts` are indices and values (`sparse_coo`), or compressed and plain indices and values.
    """

    shape: tuple[int, ...]
    layout: str
    dtype: str
    parts: tuple[TensorInfo, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]

    def is_sound(self) -> bool:
        """Whether the parts are of the shapes and the layout that can be unfolded here."""
        shapes = [part.shape for part in self.parts]
        if any(part.lacking for part in self.parts):
            return False
        if self.layout == "sparse_coo" and len(shapes) == 2:
            axes = len(self.shape)
            return shapes[0] == (axes, *shapes[1][:1]) and len(shapes[1]) == 1
        if self.layout in ("sparse_csr", "sparse_csc") and len(shapes) == 3:
            rows = self.shape[self.layout == "sparse_csc"] if len(self.shape) == 2 else -1
            return shapes[0] == (rows + 1,) and shapes[1] == shapes[2] and len(shapes[2]) == 1
        return False

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Unfold the tensor and give its bytes from `start` up to `stop`."""
        import numpy as np

        *indices, values = (read_array(part, files) for part in self.parts)
        whole = np.zeros(self.shape, values.dtype)
        if self.layout == "sparse_coo":
            places = tuple(indices[0])
        else:
            lengths = np.diff(indices[0])
            if (lengths < 0).any() or lengths.sum() != values.size:
                raise CheckpointError("A sparse tensor contradicts itself: the file is damaged.")
            rows = np.repeat(np.arange(lengths.size), lengths)
            places = (rows, indices[1]) if self.layout == "sparse_csr" else (indices[1], rows)
        for place, size in zip(places, self.shape, strict=True):
            if place.size and (place.min() < 0 or place.max() >= size):
                raise CheckpointError("A sparse tensor reaches beyond its shape: it is damaged.")
        if values.dtype == np.uint16:  # the bits of bfloat16 cannot be added
            whole[places] = values
        else:
            np.add.at(whole, places, values)
        return bytearray(whole.astype(whole.dtype.newbyteorder("<")).tobytes()[start:stop])


@dataclass(frozen=True, slots=True)
class ComputedStorage:
    """A tensor that a formula makes of others, as a storage; see `storage.Storage`.

    `formula` is `product` (of a weight and its mask), `weight norm` (of magnitude and direction)
    or `spectral norm` (of a weight and its two singular vectors).
    """

    formula: str
    shape: tuple[int, ...]
    dtype: str
    parts: tuple[TensorInfo, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Compute the tensor in float64 and give its bytes from `start` up to `stop`."""
        import numpy as np

        arrays = [read_floats(part, files) for part in self.parts]
        whole = _FORMULAS[self.formula](*arrays)
        little = np.ascontiguousarray(whole, np.dtype(self.dtype).newbyteorder("<"))
        return bytearray(little.tobytes()[start:stop])


def _product(weight: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`torch.nn.utils.prune`: the weight where the mask is one."""
    return weight * mask


def _weight_norm(magnitude: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """`torch.nn.utils.weight_norm` (arXiv 1602.07868): g v / |v|, a norm for each entry of g."""
    import numpy as np

    axes = tuple(i for i, size in enumerate(magnitude.shape) if size == 1) or None
    if magnitude.ndim == 0:
        axes = None
    norm = np.sqrt((direction**2).sum(axis=axes, keepdims=magnitude.ndim > 0))
    return direction * (magnitude / norm)


def _spectral_norm(weight: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`torch.nn.utils.spectral_norm` (arXiv 1802.05957) in evaluation: W / (u W v)."""
    return weight / (left @ weight.reshape(weight.shape[0], -1) @ right)


_FORMULAS = {"product": _product, "weight norm": _weight_norm, "spectral norm": _spectral_norm}
