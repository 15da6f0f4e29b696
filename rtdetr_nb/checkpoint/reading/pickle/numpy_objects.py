"""How numpy pickles arrays, scalars and dtypes; read without numpy."""

from __future__ import annotations

import struct
from math import prod

from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global
from rtdetr_nb.checkpoint.reading.storage import (
    InlineBytes,
    InlineText,
    MakeStorage,
    Span,
    Storage,
    check_size,
    latin1_bytes,
)
from rtdetr_nb.checkpoint.reading.tensor_info import (
    ITEM_SIZES,
    LARGEST_SIZE,
    MAXIMUM_DIMENSIONS,
    TensorInfo,
)

_DTYPES = {
    "f8": "float64", "f4": "float32", "f2": "float16", "c16": "complex128", "c8": "complex64",
    "i8": "int64", "i4": "int32", "i2": "int16", "i1": "int8",
    "u8": "uint64", "u4": "uint32", "u2": "uint16", "u1": "uint8", "b1": "bool",
}  # fmt: skip
_SCALAR_FORMATS = {
    "float64": "d", "float32": "f", "float16": "e", "int64": "q", "int32": "i", "int16": "h",
    "int8": "b", "uint64": "Q", "uint32": "I", "uint16": "H", "uint8": "B", "bool": "?",
}  # fmt: skip
_CORES = ("numpy.core", "numpy._core")
_RECONSTRUCT = frozenset(f"{core}.multiarray._reconstruct" for core in _CORES)
_FROM_BUFFER = frozenset(f"{core}.numeric._frombuffer" for core in _CORES)
_SCALAR = frozenset(f"{core}.multiarray.scalar" for core in _CORES)
_LARGEST_SCALAR = 16


def read_array(call: Call, path: str, kind: str, make_storage: MakeStorage) -> TensorInfo | None:
    """Describe the array that a call would make; None if it would make something else.

    Args:
        call: The call, as the pickle reader wrote it down.
        path: Dotted path of the array in the file.
        kind: What the parent says it is.
        make_storage: Gives the storage of a long payload in the stream.

    Raises:
        CheckpointError: The number of bytes does not fit the shape.
    """
    name = call.function.path if type(call.function) is Global else ""
    arguments, state = call.arguments, call.state
    if name in _RECONSTRUCT and type(state) is tuple and len(state) == 5:
        _, shape, dtype, is_fortran, payload = state
    elif name in _FROM_BUFFER and type(arguments) is tuple and len(arguments) == 4:
        payload, dtype, shape, order = arguments
        is_fortran = order == "F"
    else:
        return None
    element = _read_dtype(dtype)
    if element is None or type(shape) is not tuple or len(shape) > MAXIMUM_DIMENSIONS:
        return None
    sizes = tuple(size for size in shape if type(size) is int and 0 <= size < LARGEST_SIZE)
    if len(sizes) != len(shape):
        return None
    element_name, big_endian = element
    storage = _find_bytes(payload, prod(sizes) * ITEM_SIZES[element_name], make_storage)
    if storage is None:
        return None
    stride = _fortran_strides(sizes) if is_fortran else None
    return TensorInfo(path, sizes, element_name, kind, storage, 0, stride, big_endian)


def read_scalar(name: str, arguments: tuple[object, ...]) -> object:
    """The number that a call of numpy's `scalar` would give; None for any other call."""
    if name not in _SCALAR or len(arguments) != 2:
        return None
    element = _read_dtype(arguments[0])
    data = unwrap_bytes(arguments[1])
    if element is None or not isinstance(data, (bytes, str)) or len(data) > _LARGEST_SCALAR:
        return None
    data = data if isinstance(data, bytes) else latin1_bytes(data)
    code = _SCALAR_FORMATS.get(element[0])
    if code is None or len(data) != ITEM_SIZES[element[0]]:
        return None
    return struct.unpack((">" if element[1] else "<") + code, data)[0]


def _read_dtype(value: object) -> tuple[str, bool] | None:
    """The name of a pickled dtype and whether it is big-endian; None for other dtypes."""
    if type(value) is not Call or type(value.function) is not Global:
        return None
    if value.function.path != "numpy.dtype" or type(value.arguments) is not tuple:
        return None
    code = value.arguments[0] if value.arguments else None
    dtype = _DTYPES.get(code) if type(code) is str else None
    if dtype is None:
        return None
    state = value.state
    order = state[1] if type(state) is tuple and len(state) > 1 else "<"
    return dtype, order == ">"


def unwrap_bytes(value: object) -> object:
    """Bytes as they are, or the text that stands for them.

    Protocols before 3 have to spell bytes as `_codecs.encode(text, 'latin1')`, Python 2 as text.
    """
    if type(value) is Call and type(value.function) is Global and type(value.arguments) is tuple:
        path, arguments = value.function.path, value.arguments
        if path == "_codecs.encode" and arguments:
            return arguments[0]
        if path == "builtins.bytes" and not arguments:
            return b""
    return value


def _find_bytes(payload: object, nbytes: int, make_storage: MakeStorage) -> Storage | None:
    data = unwrap_bytes(payload)
    if type(data) is Span:
        return make_storage(data, nbytes)
    if not isinstance(data, (bytes, str)):
        return None
    check_size(len(data), nbytes)
    # Many arrays can share one text, so it is turned into bytes only when it is read.
    return InlineBytes(data) if isinstance(data, bytes) else InlineText(data)


def _fortran_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    stride: list[int] = []
    step = 1
    for size in shape:
        stride.append(step)
        step *= max(size, 1)
    return tuple(stride)
