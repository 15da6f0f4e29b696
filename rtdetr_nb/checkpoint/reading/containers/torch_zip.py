"""The zip files of torch: those of `torch.save`, and TorchScript archives."""

from __future__ import annotations

from typing import BinaryIO

from rtdetr_nb.checkpoint.reading.containers.not_a_checkpoint import refuse_zip
from rtdetr_nb.checkpoint.reading.containers.zip_archive import ArchivedStorage, ZipArchive
from rtdetr_nb.checkpoint.reading.containers.zip_directory import STORED
from rtdetr_nb.checkpoint.reading.paths import list_tensors
from rtdetr_nb.checkpoint.reading.pickle.reader import PickleReader
from rtdetr_nb.checkpoint.reading.pickle.tree_builder import TreeBuilder
from rtdetr_nb.checkpoint.reading.storage import SourceFile, Span, Storage, payload_storage
from rtdetr_nb.checkpoint.reading.tensor_info import Listing
from rtdetr_nb.errors import CheckpointError

MAXIMUM_PICKLE_SIZE = 1 << 31
"""Bytes of the description of the contents, which may hold whole arrays of numpy."""

_BYTE_ORDERS = {b"little": False, b"big": True}


def list_torch_zip(source: SourceFile) -> Listing:
    """List a zip file of torch.

    Raises:
        CheckpointError: It is another sort of zip file, or damaged.
    """
    archive = ZipArchive(source)
    with source.open() as file:
        reader = TorchZipReader(archive, file)
        tree = reader.read_tree()
    return Listing(
        "TorchScript" if reader.is_torchscript else "torch zip",
        tree,
        list_tensors(tree),
        reader.builder.modules,
        (source.path,),
        reader.refusal,
    )


class TorchZipReader:
    """Reads the description in an archive of torch.

    Args:
        archive: The archive.
        file: Its file, open.
    """

    def __init__(self, archive: ZipArchive, file: BinaryIO) -> None:
        self._archive = archive
        self._file = file
        self._root = _find_root(archive)
        self._storages: dict[str, ArchivedStorage] = {}
        self.is_torchscript = f"{self._root}/constants.pkl" in archive.records
        self.refusal = ""
        self.builder = TreeBuilder(self._find_storage, self._make_storage, self._is_big_endian())

    def read_tree(self) -> object:
        """Read everything but the bytes of the tensors."""
        name = f"{self._root}/data.pkl"
        if self._archive.records[name].size > MAXIMUM_PICKLE_SIZE:
            raise CheckpointError(
                f"Its description of the contents takes {self._archive.records[name].size:,} "
                "bytes, more than that of any checkpoint. Do not trust where it comes from."
            )
        with self._archive.open(name, self._file) as stream:
            reader = PickleReader(stream, self._archive.records[name].size)
            node, self.refusal = reader.load(), reader.refusal
        return self.builder.build(node)

    def _is_big_endian(self) -> bool:
        name = f"{self._root}/byteorder"
        if name not in self._archive.records:
            return False
        order = self._archive.read_all(name, self._file, 16)
        if order not in _BYTE_ORDERS:
            raise CheckpointError(
                f"Its byte order is given as {order!r}, which is neither little nor big. Save it "
                "again with torch.save."
            )
        return _BYTE_ORDERS[order]

    def _find_storage(self, key: str, nbytes: int) -> Storage:
        storage = self._storages.get(key)
        if storage is None:
            name = f"{self._root}/data/{key}"
            if name not in self._archive.records:
                raise CheckpointError(
                    f"The record {name!r} with the values of a tensor is missing: the file is "
                    "damaged or was saved without its values. Copy, download or save it again."
                )
            storage = self._storages[key] = self._archive.storage(name)
        if storage.nbytes < nbytes:
            raise CheckpointError(
                f"The record of storage {key!r} has {storage.nbytes:,} bytes where its tensors "
                f"need {nbytes:,}: the file is damaged. Copy or download it again."
            )
        return storage

    def _make_storage(self, span: Span, nbytes: int) -> Storage:
        name = f"{self._root}/data.pkl"
        if self._archive.records[name].method != STORED:
            raise CheckpointError(
                "It is compressed, and holds arrays inside of its description. Load it with the "
                "program that wrote it and save it again with torch.save."
            )
        start = self._archive.data_start(name, self._file) + span.start
        return payload_storage(self._archive.source, start, span, nbytes)


def _find_root(archive: ZipArchive) -> str:
    """The one folder of the archive, which holds `data.pkl`."""
    roots = {name.partition("/")[0] for name in archive.records}
    if len(roots) == 1 and f"{next(iter(roots))}/data.pkl" in archive.records:
        return roots.pop()
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in archive.records):
        raise CheckpointError(
            "It is a zip file with a data.pkl, but not laid out as torch.save does it: either it "
            "was packed again by hand, or it holds two checkpoints. Save it again with torch.save."
        )
    raise refuse_zip(list(archive.records))
