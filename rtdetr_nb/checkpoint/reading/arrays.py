"""From the bytes of a storage to arrays: strides, byte order, and types that numpy lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.reading.storage import OpenFiles
from rtdetr_nb.checkpoint.reading.tensor_info import ITEM_SIZES, TensorInfo
from rtdetr_nb.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np

MAXIMUM_EXPANSION = 8
"""Bytes that may be read for each byte of the file (or, of a small file, of 64 MiB)."""
MAXIMUM_TENSOR_BYTES = 1 << 32
"""Bytes of one tensor."""
_SMALL_FILE = 1 << 26


def carrier_dtype(dtype: str) -> str:
    """The numpy dtype in which elements of `dtype` are carried.

    numpy has no bfloat16 and no 8-bit floats: their bits are carried as `uint16` and `uint8`.
    complex32 is carried as `uint32`.
    """
    if dtype == "bfloat16":
        return "uint16"
    if dtype.startswith("float8"):
        return "uint8"
    return "uint32" if dtype == "complex32" else dtype


def check_expansion(tensors: Iterable[TensorInfo], file_size: int) -> None:
    """Refuse to read tensors that are far larger than the file they are in.

    A few stored numbers can be repeated (strides of zero) or shared until no memory is left, and
    few can be spread over a large storage. No tensor may take more than 4 GiB.

    Args:
        tensors: All that is to be read at once.
        file_size: Bytes of all files of the checkpoint.

    Raises:
        CheckpointError: Together they are, or one of them is.
    """
    limit = MAXIMUM_EXPANSION * max(file_size, _SMALL_FILE)
    total = 0
    for tensor in tensors:
        nbytes = max(tensor.nbytes, _span(tensor) * ITEM_SIZES[tensor.dtype])
        total += nbytes
        if MAXIMUM_TENSOR_BYTES < tensor.nbytes <= file_size:
            raise CheckpointError(
                f"Its tensor {tensor.key!r} of shape {list(tensor.shape)} takes {nbytes:,} bytes, "
                f"and at most {MAXIMUM_TENSOR_BYTES:,} are read for one tensor. No tensor of "
                "RT-DETRv2 is a hundredth of that; choose the checkpoint of the detector."
            )
        if nbytes > MAXIMUM_TENSOR_BYTES or total > limit:
            raise CheckpointError(
                f"Its tensor {tensor.key!r} of shape {list(tensor.shape)} takes {nbytes:,} "
                f"bytes, and all that were asked for at least {total:,}, but the files have "
                f"{file_size:,}. A few numbers, repeated or spread so widely, are not weights; "
                "ask for fewer tensors, or do not trust where it comes from."
            )


def _span(tensor: TensorInfo) -> int:
    """Elements of the storage from the first to the last element of the tensor."""
    if tensor._stride is None or 0 in tensor.shape:
        return tensor.numel
    steps = zip(tensor.shape, tensor._stride, strict=True)
    return 1 + sum((size - 1) * step for size, step in steps)


def read_array(tensor: TensorInfo, files: OpenFiles) -> np.ndarray:
    """Read one tensor, and of its storage only the bytes from its first to its last element.

    Args:
        tensor: What to read.
        files: The open files.

    Returns:
        A contiguous, writable array of its shape that shares memory with nothing; of the dtype
        `carrier_dtype(tensor.dtype)`, in the byte order of this machine.

    Raises:
        CheckpointError: Its values are not in the file, or cannot be read.
    """
    import numpy as np

    if tensor.lacking:
        raise CheckpointError(f"Its tensor {tensor.key!r} {tensor.lacking}.")
    dtype = np.dtype(carrier_dtype(tensor.dtype))
    if tensor._storage is None or 0 in tensor.shape:
        return np.empty(tensor.shape, dtype)
    item_size = ITEM_SIZES[tensor.dtype]
    stride = tensor._stride
    start = tensor._offset * item_size
    data = tensor._storage.read(files, start, start + _span(tensor) * item_size)
    stored = np.frombuffer(data, dtype.newbyteorder(">" if tensor._big_endian else "<"))
    if stride is None:
        array = stored.reshape(tensor.shape)
    else:
        steps = [step * item_size for step in stride]
        array = np.lib.stride_tricks.as_strided(stored, tensor.shape, steps)
    copied = np.ascontiguousarray(array, dtype).reshape(tensor.shape)
    return copied if copied.flags.writeable else copied.copy()
