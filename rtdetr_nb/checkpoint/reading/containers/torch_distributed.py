"""Folders of `torch.distributed.checkpoint`: a pickled table, and tensors in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NoReturn, TypeGuard

from rtdetr_nb.checkpoint.reading.arrays import carrier_dtype, read_array
from rtdetr_nb.checkpoint.reading.containers.torch_zip import TorchZipReader
from rtdetr_nb.checkpoint.reading.containers.zip_archive import ZipArchive
from rtdetr_nb.checkpoint.reading.pickle.reader import PickleReader
from rtdetr_nb.checkpoint.reading.pickle.tree_builder import TreeBuilder
from rtdetr_nb.checkpoint.reading.storage import (
    FileRegion,
    OpenFiles,
    SourceFile,
    buffered,
    payload_storage,
)
from rtdetr_nb.checkpoint.reading.tensor_info import (
    ITEM_SIZES,
    LARGEST_SIZE,
    MAXIMUM_DIMENSIONS,
    Listing,
    Opaque,
    TensorInfo,
)
from rtdetr_nb.errors import CheckpointError

TABLE_NAME = ".metadata"
MAXIMUM_PIECES = 10_000
"""Pieces of one tensor; there is one for each process that took part."""
_CONVERTER = (
    "Convert it on the machine that wrote it: "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.pth"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a tensor: where it belongs, and the little torch file that holds it."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    source: SourceFile
    start: int
    nbytes: int
    is_transformed: bool


@dataclass(frozen=True, slots=True)
class PiecedStorage:
    """A tensor in pieces as one storage; see `storage.Storage`."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    pieces: tuple[Piece, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read all pieces and give the bytes from `start` up to `stop` of the whole."""
        import numpy as np

        whole = np.zeros(self.shape, np.dtype(carrier_dtype(self.dtype)).newbyteorder("<"))
        for piece in self.pieces:
            part = read_array(self._open(piece, files), files)
            place = tuple(
                slice(offset, offset + size)
                for offset, size in zip(piece.offsets, piece.sizes, strict=True)
            )
            whole[place] = part
        return bytearray(whole.reshape(-1).view(np.uint8)[start:stop].tobytes())

    def _open(self, piece: Piece, files: OpenFiles) -> TensorInfo:
        if piece.is_transformed:
            _refuse(f"tensor {self.key!r} is stored in a compressed form", _CONVERTER)
        archive = ZipArchive(piece.source, piece.start, piece.nbytes)
        tensor = TorchZipReader(archive, files.file(piece.source)).read_tree()
        expected = (piece.sizes, self.dtype)
        if not isinstance(tensor, TensorInfo) or (tensor.shape, tensor.dtype) != expected:
            _refuse(f"a piece of tensor {self.key!r} is not what the table says", _CONVERTER)
        return tensor


def list_distributed(folder: Path) -> Listing:
    """List a folder of torch.distributed.checkpoint.

    Raises:
        CheckpointError: Its table is damaged, or a file is missing.
    """
    table = SourceFile.at(folder / TABLE_NAME)
    with table.open() as file:
        stream = buffered(FileRegion(file, 0, table.size))
        node = PickleReader(stream, table.size).load()
    builder = TreeBuilder(
        None, lambda span, nbytes: payload_storage(table, span.start, span, nbytes)
    )
    metadata = builder.build(node)
    entries = metadata.attributes.get("state_dict_metadata") if _is(metadata, "Metadata") else None
    if not isinstance(metadata, Opaque) or not isinstance(entries, dict):
        _refuse("its table is of an unknown layout", _CONVERTER)
    sources: dict[str, SourceFile] = {}
    places = _read_places(metadata.attributes.get("storage_data"), folder, sources)
    tree: dict[str, object] = {}
    for key, entry in entries.items():
        tree[str(key)] = _read_entry(str(key), entry, places)
    tensors = {key: entry for key, entry in tree.items() if isinstance(entry, TensorInfo)}
    paths = (table.path, *(source.path for source in sources.values()))
    return Listing("distributed checkpoint", tree, tensors, {}, paths)


_Place = tuple[SourceFile, int, int, bool]


def _piece_name(key: str, offsets: tuple[int, ...]) -> str:
    # A text, because tuples of numbers can be made that all share one hash.
    return f"{offsets} of {key}"


def _read_places(
    storage_data: object, folder: Path, sources: dict[str, SourceFile]
) -> dict[str, _Place]:
    """Where each piece lies, by the tensor's name and the piece's offsets."""
    places: dict[str, _Place] = {}
    pairs = storage_data.values() if isinstance(storage_data, dict) else ()
    for pair in pairs:
        # The keys are objects, so each entry is a pair of the key and the value.
        index, info = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)
        if not _is(index, "MetadataIndex") or not _is(info, "_StorageInfo"):
            _refuse("its table is of an unknown layout", _CONVERTER)
        name, start = info.attributes.get("relative_path"), info.attributes.get("offset")
        size = info.attributes.get("length")
        if type(name) is not str or type(start) is not int or type(size) is not int:
            _refuse("its table is of an unknown layout", _CONVERTER)
        if name not in sources:
            sources[name] = _find_file(folder, name)
        if not 0 <= start <= start + size <= sources[name].size:
            _refuse(f"its file {name!r} is truncated", "Copy the whole folder again.")
        offsets = index.attributes.get("offset")
        key = _piece_name(str(index.attributes.get("fqn")), _sizes(offsets) if offsets else ())
        transformed = bool(info.attributes.get("transform_descriptors"))
        places[key] = (sources[name], start, size, transformed)
    return places


def _find_file(folder: Path, name: str) -> SourceFile:
    if Path(name).name != name or "\\" in name or "\0" in name:
        _refuse(f"it refers to {name!r}, which is not in the folder", "Copy the folder again.")
    path = folder / name
    if not path.is_file():
        _refuse(f"its file {name!r} is missing", "Copy the whole folder again.")
    return SourceFile.at(path)


def _read_entry(key: str, entry: object, places: dict[str, _Place]) -> object:
    """A tensor, or what stands for an object that was pickled on its own (it is not read)."""
    if not _is(entry, "TensorStorageMetadata"):
        return Opaque("an object")
    attributes = entry.attributes
    shape = _sizes(attributes.get("size"))
    dtype = _read_dtype(attributes.get("properties"))
    chunks = attributes.get("chunks")
    if dtype not in ITEM_SIZES or not isinstance(chunks, list):
        _refuse(f"tensor {key!r} is of an unknown sort", _CONVERTER)
    if len(chunks) > MAXIMUM_PIECES:
        _refuse(f"tensor {key!r} is in {len(chunks):,} pieces", _CONVERTER)
    pieces = tuple(_read_piece(key, chunk, shape, places) for chunk in chunks)
    if len({piece.offsets for piece in pieces}) != len(pieces) or prod(shape) != sum(
        prod(piece.sizes) for piece in pieces
    ):
        _refuse(f"the pieces of tensor {key!r} do not fill it", _CONVERTER)
    return TensorInfo(key, shape, dtype, "tensor", PiecedStorage(key, shape, dtype, pieces))


def _read_piece(
    key: str,
    chunk: object,
    shape: tuple[int, ...],
    places: dict[str, _Place],
) -> Piece:
    if not _is(chunk, "ChunkStorageMetadata"):
        _refuse("its table is of an unknown layout", _CONVERTER)
    offsets, sizes = _sizes(chunk.attributes.get("offsets")), _sizes(chunk.attributes.get("sizes"))
    inside = len(offsets) == len(sizes) == len(shape) and all(
        offset + size <= whole for offset, size, whole in zip(offsets, sizes, shape, strict=True)
    )
    place = places.get(_piece_name(key, offsets))
    if not inside or place is None:
        _refuse(f"a piece of tensor {key!r} is missing", "Copy the whole folder again.")
    return Piece(offsets, sizes, *place)


def _read_dtype(properties: object) -> str:
    """The dtype of a tensor: the first of the values that its properties are pickled as."""
    if isinstance(properties, Opaque):
        state = properties.attributes.get("state", properties.attributes.get("dtype"))
        first = state[0] if isinstance(state, tuple) and state else state
        if isinstance(first, Opaque):
            return first.class_name.removeprefix("torch.")
    return ""


def _is(value: object, class_name: str) -> TypeGuard[Opaque]:
    return isinstance(value, Opaque) and value.class_name.rpartition(".")[2] == class_name


def _sizes(value: object) -> tuple[int, ...]:
    if (
        not isinstance(value, tuple)
        or len(value) > MAXIMUM_DIMENSIONS
        or any(type(size) is not int or not 0 <= size < LARGEST_SIZE for size in value)
    ):
        _refuse("its table is of an unknown layout", _CONVERTER)
    return value


def _refuse(reason: str, remedy: str) -> NoReturn:
    raise CheckpointError(f"It is a folder of torch.distributed.checkpoint, but {reason}. {remedy}")
