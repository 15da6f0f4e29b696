"""Safetensors files: a JSON table of names, shapes and places, then the bytes."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from math import prod
from typing import NoReturn, TypeGuard

from rtdetr_nb.checkpoint.reading.storage import FileSpan, SourceFile, read_exactly
from rtdetr_nb.checkpoint.reading.tensor_info import (
    ITEM_SIZES,
    LARGEST_SIZE,
    MAXIMUM_DIMENSIONS,
    Listing,
    TensorInfo,
)
from rtdetr_nb.errors import CheckpointError

MAXIMUM_HEADER_SIZE = 1 << 23
"""Bytes of the table: 8 MiB are about 80,000 tensors. The format allows more, but parsed JSON takes
many times its size in memory."""
METADATA_KEY = "__metadata__"

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "C64": "complex64", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins with `head` is a safetensors file with a table of usual size."""
    return len(head) >= 9 and head[8:9] == b"{" and _header_size(head) <= MAXIMUM_HEADER_SIZE


def _header_size(head: bytes) -> int:
    return struct.unpack("<Q", head[:8])[0]


def list_safetensors(source: SourceFile) -> Listing:
    """List a safetensors file.

    Raises:
        CheckpointError: It is truncated, or its table contradicts itself.
    """
    with source.open() as file:
        size = _header_size(bytes(read_exactly(file, 0, 8)))
        if 8 + size > source.size:
            _refuse_truncated(8 + size, source.size)
        header = _parse(bytes(read_exactly(file, 8, 8 + size)))
    metadata = header.pop(METADATA_KEY, None)
    tensors = {key: _read_entry(key, entry, source, 8 + size) for key, entry in header.items()}
    _check_layout(tensors, source, 8 + size)
    tree = dict(tensors) if metadata is None else {METADATA_KEY: metadata, **tensors}
    return Listing("safetensors", tree, tensors, {}, (source.path,))


def _parse(data: bytes) -> dict[str, object]:
    try:
        header = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        _refuse("it is not valid JSON")
    if type(header) is not dict:
        _refuse("it is not a JSON object")
    return header


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        _refuse("it names a tensor twice")
    return entries


def _read_entry(key: str, entry: object, source: SourceFile, begin: int) -> TensorInfo:
    if type(entry) is not dict:
        _refuse(f"the entry of {key!r} is not an object")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    named = str(entry.get("dtype"))[:40]
    dtype = _DTYPES.get(named)
    if dtype is None:
        raise CheckpointError(
            f"It is a safetensors file whose {key!r} has the type {named!r}, which is not read "
            f"here. Read are {', '.join(_DTYPES)}. Convert it to float32 with the library that "
            "wrote it."
        )
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        _refuse(f"the shape or place of {key!r} is not given in whole numbers")
    start, stop = offsets
    if stop - start != prod(shape) * ITEM_SIZES[dtype]:
        _refuse(f"the bytes of {key!r} do not fill its shape")
    if begin + stop > source.size:
        _refuse_truncated(begin + stop, source.size)
    return TensorInfo(
        key, tuple(shape), dtype, "tensor", FileSpan(source, begin + start, stop - start)
    )


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= MAXIMUM_DIMENSIONS
        and all(type(size) is int and 0 <= size < LARGEST_SIZE for size in value)
    )


def _check_layout(tensors: dict[str, TensorInfo], source: SourceFile, begin: int) -> None:
    """Refuse tensors that overlap or leave holes, as the format does."""
    spans = sorted(
        (tensor._storage.start, tensor._storage.start + tensor._storage.nbytes)
        for tensor in tensors.values()
        if isinstance(tensor._storage, FileSpan)
    )
    edges = [(begin, begin), *spans, (source.size, source.size)]
    if any(stop != start for (_, stop), (start, _) in pairwise(edges)):
        _refuse("its tensors overlap or leave holes")


def _refuse(reason: str) -> NoReturn:
    raise CheckpointError(
        f"It is a safetensors file whose table is damaged: {reason}. Copy or download it again."
    ) from None


def _refuse_truncated(expected: int, found: int) -> NoReturn:
    raise CheckpointError(
        f"It is a safetensors file that is truncated: it has {found:,} bytes and needs "
        f"{expected:,}. Copy or download it again."
    )
