"""How torch pickles a tensor: which function rebuilds it, from which storage, seen in which way."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global, PersistentId
from rtdetr_nb.checkpoint.reading.storage import FindStorage
from rtdetr_nb.checkpoint.reading.tensor_info import (
    ITEM_SIZES,
    LARGEST_SIZE,
    MAXIMUM_DIMENSIONS,
    TensorInfo,
)
from rtdetr_nb.errors import CheckpointError

STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_QUANTIZED_SIZES = {
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QInt32Storage": 4,
    "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1,
}
_INTEGERS = frozenset({int})
_BYTE_STORAGES = frozenset({"UntypedStorage", "_UntypedStorage"})

_VIEWS = frozenset({
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
})  # fmt: skip
PARAMETERS = frozenset({
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
})  # fmt: skip
TYPED = frozenset({"torch._tensor._rebuild_from_type", "torch._tensor._rebuild_from_type_v2"})
"""What stands around a tensor that is a parameter, and around one of a class of its library."""
REBUILDERS = _VIEWS | PARAMETERS | TYPED
"""The functions whose result is a tensor that `read_tensor` understands."""

_LONGEST_WRAPPING = 4


def read_tensor(
    call: Call, path: str, kind: str, find_storage: FindStorage, big_endian: bool = False
) -> TensorInfo | None:
    """Describe the tensor that a call of one of `REBUILDERS` would make; the call is not made.

    Args:
        call: The call, as the pickle reader wrote it down.
        path: Dotted path of the tensor in the file.
        kind: What the parent says it is: `parameter`, `buffer` or `tensor`.
        find_storage: Finds the bytes.
        big_endian: Byte order of the storages.

    Returns:
        None when it is a tensor of another sort (sparse, quantized, without values).

    Raises:
        CheckpointError: The tensor lies outside of its storage, or its storage is missing.
    """
    for _ in range(_LONGEST_WRAPPING):
        name = call.function.path if type(call.function) is Global else ""
        arguments = call.arguments if type(call.arguments) is tuple else ()
        if name in _VIEWS:
            return _read_view(name, arguments, path, kind, find_storage, big_endian)
        if name in PARAMETERS and arguments and type(arguments[0]) is Call:
            kind = "parameter" if kind == "tensor" else kind
            call = arguments[0]
        elif name in TYPED and len(arguments) > 2:
            call = Call(arguments[0], arguments[2])
        else:
            return None
    return None


def _read_view(
    name: str,
    arguments: tuple[object, ...],
    path: str,
    kind: str,
    find_storage: FindStorage,
    big_endian: bool,
) -> TensorInfo | None:
    if len(arguments) < 4 or type(arguments[0]) is not PersistentId:
        return None
    reference = read_reference(arguments[0].value)
    if reference is None:
        return None
    dtype = reference.dtype
    if name.endswith("_v3") and len(arguments) > 6 and type(arguments[6]) is Global:
        dtype = arguments[6].name
    if dtype is None or dtype not in ITEM_SIZES:
        return None
    item_size = ITEM_SIZES[dtype]
    unit = 1 if reference.dtype is None else item_size
    offset, shape, stride = arguments[1], read_sizes(arguments[2]), read_sizes(arguments[3])
    numel = reference.available * unit // item_size
    if type(offset) is not int or not _is_inside(shape, stride, offset, numel):
        view = f"shape {list(shape)}, strides {list(stride)}"
        raise CheckpointError(
            f"Its tensor {path!r} ({view[:200]}) does not lie inside of its storage of {numel:,} "
            "elements. The file is damaged or was tampered with; copy or download it again."
        )
    return TensorInfo(
        path,
        shape,
        dtype,
        kind,
        find_storage(reference.key, reference.numel * unit),
        offset + reference.first * unit // item_size,
        None if _is_contiguous(shape, stride) else stride,
        big_endian,
    )


class StorageReference(NamedTuple):
    """A reference to a storage.

    Attributes:
        key: Its key in the container.
        dtype: Type of its elements, None for bytes.
        numel: Number of its elements.
        first: The element at which the part that is meant begins.
        available: Number of elements of that part.
    """

    key: str
    dtype: str | None
    numel: int
    first: int
    available: int


def read_reference(value: object) -> StorageReference | None:
    """Read a persistent id of torch; None if it refers to something else than a storage."""
    if type(value) is not tuple or not 5 <= len(value) <= 6 or value[0] != "storage":
        return None
    _, storage_type, key, _, numel, *view = value
    if type(storage_type) is not Global or type(key) is not str or type(numel) is not int:
        return None
    if numel >= LARGEST_SIZE:
        raise CheckpointError(
            f"It refers to a storage of {numel:,} elements, more than any disk holds. The file is "
            "damaged or was tampered with; copy or download it again."
        )
    name = storage_type.name
    if name not in STORAGE_DTYPES and name not in _BYTE_STORAGES:
        return None
    first, available = 0, numel
    if view and type(view[0]) is tuple and len(view[0]) == 3:
        # Files of old versions refer to a part of a storage: (its key, first element, length).
        _, first, available = view[0]
        if type(first) is not int or type(available) is not int:
            return None
        if not 0 <= first <= first + available <= numel:
            return None
    return StorageReference(key, STORAGE_DTYPES.get(name), numel, first, available)


def storage_item_size(value: object) -> tuple[str, int] | None:
    """The key and the bytes of an element of the storage that a persistent id refers to.

    Unlike `read_reference` it knows the storages of quantized tensors too.
    """
    found = read_reference(value)
    if found is not None:
        return found.key, 1 if found.dtype is None else ITEM_SIZES[found.dtype]
    if isinstance(value, tuple) and len(value) > 4 and isinstance(value[1], Global):
        size = _QUANTIZED_SIZES.get(value[1].name)
        if size is not None and isinstance(value[2], str):
            return value[2], size
    return None


def read_sizes(value: object) -> tuple[int, ...]:
    """Sizes or strides, which may be wrapped in a `torch.Size`; (-1,) for anything else."""
    if isinstance(value, Call) and isinstance(value.arguments, tuple) and len(value.arguments) == 1:
        value = value.arguments[0]
    if not isinstance(value, (tuple, list)) or len(value) > MAXIMUM_DIMENSIONS:
        return (-1,)
    if not _INTEGERS.issuperset(map(type, value)) or max(value, default=0) >= LARGEST_SIZE:
        return (-1,)
    return tuple(value)


def _is_inside(shape: tuple[int, ...], stride: tuple[int, ...], offset: int, numel: int) -> bool:
    """Whether a tensor lies inside of its storage of `numel` elements."""
    if len(shape) != len(stride) or min((offset, numel, *shape, *stride)) < 0:
        return False
    if 0 in shape:
        return True
    last = offset
    for size, step in zip(shape, stride, strict=True):
        last += (size - 1) * step
    # Strides of zero repeat elements. A tensor far larger than its file is a decompression bomb.
    return last < numel and prod(shape) < LARGEST_SIZE


def _is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether these are the strides that torch gives to a contiguous tensor."""
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if step != expected:
            return False
        expected *= size or 1
    return True
