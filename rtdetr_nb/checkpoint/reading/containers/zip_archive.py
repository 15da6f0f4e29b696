"""The records of a zip file, each compared with the table of contents before it is read."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from rtdetr_nb.checkpoint.reading.containers.zip_directory import (
    DAMAGED,
    DEFLATED,
    ZipRecord,
    check_local_header,
    local_header_size,
    read_directory,
)
from rtdetr_nb.checkpoint.reading.storage import (
    FileRegion,
    OpenFiles,
    SourceFile,
    buffered,
    read_exactly,
)
from rtdetr_nb.errors import CheckpointError

MAXIMUM_INFLATED_SIZE = 1 << 26
"""Bytes that one compressed record may grow to. torch.save compresses nothing."""

_CHUNK = 1 << 20
_SMALL = 1 << 23
"""Bytes of a record that is read at once; reading opcodes from memory is much faster."""


class ZipArchive:
    """A zip file, or a part of a file that is one.

    Args:
        source: The file.
        start: First byte of the archive in the file.
        size: Bytes of the archive; all up to the end of the file when None.

    Raises:
        CheckpointError: The archive is truncated, damaged, or made so that two programs could read
            two different things from it.
    """

    def __init__(self, source: SourceFile, start: int = 0, size: int | None = None) -> None:
        self.source = source
        self.start = start
        self.size = source.size - start if size is None else size
        with source.open() as file:
            self.records: Mapping[str, ZipRecord] = read_directory(file, self.start, self.size)
        self.has_checksums = any(record.checksum for record in self.records.values())
        """False when every checksum is 0: `torch.serialization.set_crc32_options(False)`."""

    def open(self, name: str, file: BinaryIO) -> io.BufferedReader | io.BytesIO:
        """Open the record `name`, after its header and its checksum were compared with the table.

        Args:
            name: One of `records`.
            file: The archive's file, open.

        Returns:
            A stream over the record; a large one is not in memory unless it is compressed.
        """
        record = self.records[name]
        start = self.data_start(name, file)
        if record.method == DEFLATED:
            data = self._inflate(record, read_exactly(file, start, start + record.stored_size))
            self.check(record, zlib.crc32(data))
            return io.BytesIO(data)
        if record.size <= _SMALL:
            data = bytes(read_exactly(file, start, start + record.size))
            self.check(record, zlib.crc32(data))
            return io.BytesIO(data)
        region = FileRegion(file, start, record.size)
        checksum = 0
        while self.has_checksums and (chunk := region.read(_CHUNK)):
            checksum = zlib.crc32(chunk, checksum)
        self.check(record, checksum)
        region.seek(0)
        return buffered(region)

    def read_all(self, name: str, file: BinaryIO, limit: int) -> bytes:
        """Read the whole of the small record `name`; one of more than `limit` bytes is refused."""
        if self.records[name].size > limit:
            raise CheckpointError(
                f"Its record {name!r} has {self.records[name].size:,} bytes where at most "
                f"{limit:,} make sense. {DAMAGED}"
            )
        with self.open(name, file) as stream:
            return stream.read()

    def storage(self, name: str) -> ArchivedStorage:
        """The record `name` as the bytes of tensors; nothing is read."""
        return ArchivedStorage(self, self.records[name])

    def check(self, record: ZipRecord, checksum: int) -> None:
        """Refuse a record whose contents are not what was written."""
        if self.has_checksums and checksum != record.checksum:
            raise CheckpointError(
                f"Its record {record.name!r} does not have the checksum that was written with it, "
                f"so its bytes were changed or damaged. {DAMAGED}"
            )

    def read_span(self, record: ZipRecord, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read the bytes of a record from `start` up to `stop`."""
        begin = self.start + record.header_start
        header = files.read(self.source, begin, begin + local_header_size(record))
        begin += check_local_header(record, bytes(header))
        if record.method == DEFLATED:
            files.count_inflated(record.size)
            packed = files.read(self.source, begin, begin + record.stored_size)
            data = self._inflate(record, packed)
            self.check(record, zlib.crc32(data))
            return bytearray(data[start:stop])
        data = files.read(self.source, begin + start, begin + stop)
        if len(data) == record.size:
            self.check(record, zlib.crc32(data))
        return data

    def data_start(self, name: str, file: BinaryIO) -> int:
        """The first byte of the contents of the record `name`, counted in the file."""
        record = self.records[name]
        begin = self.start + record.header_start
        header = bytes(read_exactly(file, begin, begin + local_header_size(record)))
        return begin + check_local_header(record, header)

    @staticmethod
    def _inflate(record: ZipRecord, packed: bytearray) -> bytes:
        if record.size > MAXIMUM_INFLATED_SIZE:
            raise CheckpointError(
                f"Its record {record.name!r} is compressed and would grow to {record.size:,} "
                "bytes. torch.save never compresses: load it with the program that wrote it and "
                "save it again with torch.save."
            )
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(packed, record.size + 1)
        except zlib.error as error:
            raise CheckpointError(
                f"Its compressed record {record.name!r} is damaged. {DAMAGED}"
            ) from error
        if len(data) != record.size or not inflater.eof:
            raise CheckpointError(
                f"Its compressed record {record.name!r} does not have the size that the table of "
                f"contents gives. {DAMAGED}"
            )
        return data


@dataclass(frozen=True, slots=True)
class ArchivedStorage:
    """A record of an archive as the storage of tensors; see `storage.Storage`."""

    archive: ZipArchive
    record: ZipRecord

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.record.size

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read the bytes from `start` up to `stop`; the checksum is compared if that is all."""
        return self.archive.read_span(self.record, files, start, stop)
