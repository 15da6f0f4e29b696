"""Files of `torch.save` from before torch 1.6: five pickles, then one storage after another."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BufferedReader
from typing import NoReturn

from rtdetr_nb.checkpoint.reading.paths import list_tensors
from rtdetr_nb.checkpoint.reading.pickle.reader import PickleReader
from rtdetr_nb.checkpoint.reading.pickle.records import PersistentId
from rtdetr_nb.checkpoint.reading.pickle.torch_objects import storage_item_size
from rtdetr_nb.checkpoint.reading.pickle.tree_builder import TreeBuilder
from rtdetr_nb.checkpoint.reading.storage import FileSpan, SourceFile, Storage, payload_storage
from rtdetr_nb.checkpoint.reading.tensor_info import Listing
from rtdetr_nb.errors import CheckpointError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""Result of the first pickle of the file."""
PROTOCOL_VERSION = 1001
"""Result of the second."""


def list_legacy(source: SourceFile, stream: BufferedReader, reader: PickleReader) -> Listing:
    """List a legacy file of torch.

    Args:
        source: The file.
        stream: A stream over it.
        reader: A reader of that stream, which has read the magic number.

    Raises:
        CheckpointError: It is truncated or damaged.
    """
    version = reader.load()
    if version != PROTOCOL_VERSION:
        raise CheckpointError(
            f"It is an old file of torch.save, but of version {version!r} where {PROTOCOL_VERSION} "
            "is known. Load it with the torch that wrote it and save it again."
        )
    reader.load()  # sizes of C types on the machine that wrote it; the storages do not depend on it
    node = reader.load()
    keys = reader.load()
    storages = _find_storages(source, stream, keys, _item_sizes(reader.persistent_ids))

    def find_storage(key: str, nbytes: int) -> Storage:
        """A storage of the file; one that is missing or too small is refused."""
        if key not in storages or storages[key].nbytes < nbytes:
            _refuse(f"storage {key!r} is missing or too small")
        return storages[key]

    builder = TreeBuilder(
        find_storage, lambda span, nbytes: payload_storage(source, span.start, span, nbytes)
    )
    tree = builder.build(node)
    return Listing(
        "torch legacy",
        tree,
        list_tensors(tree),
        builder.modules,
        (source.path,),
        reader.refusal,
    )


def _item_sizes(references: list[PersistentId]) -> dict[str, int]:
    """Bytes of one element of each storage, by its key."""
    sizes: dict[str, int] = {}
    for reference in references:
        found = storage_item_size(reference.value)
        if found is not None:
            key, size = found
            if sizes.setdefault(key, size) != size:
                _refuse(f"storage {key!r} has elements of two sizes")
    return sizes


def _find_storages(
    source: SourceFile, stream: BufferedReader, keys: object, item_sizes: Mapping[str, int]
) -> dict[str, FileSpan]:
    """Find where each storage lies: its number of elements (8 bytes), then its bytes."""
    if type(keys) is not list or any(type(key) is not str for key in keys):
        _refuse("its list of storages is not a list of texts")
    if len(set(keys)) != len(keys):
        _refuse("a storage is listed twice")
    storages: dict[str, FileSpan] = {}
    position = stream.tell()
    for key in keys:
        stream.seek(position)
        header = stream.read(8)
        if len(header) < 8:
            _refuse_truncated(position + 8, source.size)
        numel = struct.unpack("<q", header)[0]
        if numel < 0 or key not in item_sizes:
            _refuse(f"storage {key!r} is not described")
        span = FileSpan(source, position + 8, numel * item_sizes[key])
        position = span.start + span.nbytes
        if position > source.size:
            _refuse_truncated(position, source.size)
        storages[key] = span
    return storages


def _refuse(reason: str) -> NoReturn:
    raise CheckpointError(
        f"It is an old file of torch.save, but {reason}: it is damaged. Copy or download it again."
    )


def _refuse_truncated(expected: int, found: int) -> NoReturn:
    raise CheckpointError(
        f"It is an old file of torch.save that is truncated: it has {found:,} bytes and needs at "
        f"least {expected:,}. Copy or download it again."
    )
