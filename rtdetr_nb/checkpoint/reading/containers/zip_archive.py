"""The table of contents of a zip file, read strictly: what two readers could see differently is
refused.

The standard library's `zipfile` is made to open what it can. Here an archive has to be one that
`torch.save` could have written: one table at the end, every record named once, none encrypted, and
none overlapping another; the header in front of a record has to agree with the table.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from rtdetr_nb.checkpoint.reading.storage import (
    FileRegion,
    OpenFiles,
    SourceFile,
    buffered,
    read_exactly,
)
from rtdetr_nb.errors import CheckpointError

LOCAL_SIGNATURE = b"PK\x03\x04"
STORED, DEFLATED = 0, 8

MAXIMUM_DIRECTORY_SIZE = 1 << 24
"""Bytes of the table of contents; 16 MiB is more than 200,000 records."""
MAXIMUM_INFLATED_SIZE = 1 << 26
"""Bytes that one compressed record may grow to. torch.save compresses nothing."""

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_ENCRYPTED_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
_SIZES_FOLLOW_FLAG = 0x8
_CHUNK = 1 << 20
_SMALL = 1 << 23
"""Bytes of a record that is read at once; reading opcodes from memory is much faster."""

_DAMAGED = "Copy or download it again; if it stays so, do not trust where it comes from."


@dataclass(frozen=True, slots=True)
class ZipRecord:
    """One line of the table of contents.

    Attributes:
        name: Path of the record inside the archive.
        header_start: Byte of the archive where the record's own header begins.
        stored_size: Bytes that the record takes in the file.
        size: Bytes that it holds.
        checksum: CRC-32 of what it holds.
        method: `STORED` or `DEFLATED`.
    """

    name: str
    header_start: int
    stored_size: int
    size: int
    checksum: int
    method: int


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
            self.records: Mapping[str, ZipRecord] = self._read_directory(file)
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
                f"{limit:,} make sense. {_DAMAGED}"
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
                f"so its bytes were changed or damaged. {_DAMAGED}"
            )

    def read_span(self, record: ZipRecord, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read the bytes of a record from `start` up to `stop`."""
        header = files.read(
            self.source,
            self.start + record.header_start,
            self.start + record.header_start + _LOCAL.size + _name_size(record),
        )
        begin = self.start + record.header_start + _check_local_header(record, bytes(header))
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

    def _read_directory(self, file: BinaryIO) -> dict[str, ZipRecord]:
        directory_start, directory_size, count = self._find_directory(file)
        if directory_size > MAXIMUM_DIRECTORY_SIZE:
            raise CheckpointError(
                f"Its table of contents takes {directory_size:,} bytes, more than any checkpoint "
                f"needs ({MAXIMUM_DIRECTORY_SIZE:,}), so it was not read."
            )
        begin = self.start + directory_start
        data = bytes(read_exactly(file, begin, begin + directory_size))
        records: dict[str, ZipRecord] = {}
        position = 0
        try:
            for _ in range(count):
                record, position = _parse_central(data, position)
                if record.name in records:
                    raise CheckpointError(
                        f"It holds two records named {record.name!r}, so that two programs could "
                        "load two different things. No program that saves checkpoints writes that; "
                        "do not trust where it comes from."
                    )
                records[record.name] = record
        except (struct.error, UnicodeDecodeError) as error:
            raise CheckpointError(f"Its table of contents is damaged. {_DAMAGED}") from error
        if position != directory_size:
            raise CheckpointError(f"Its table of contents is damaged. {_DAMAGED}")
        _check_layout(records, directory_start)
        return records

    def _find_directory(self, file: BinaryIO) -> tuple[int, int, int]:
        """Find the table of contents: its first byte, its size and its number of lines."""
        tail_start = max(0, self.size - _END.size - _LONGEST_COMMENT)
        tail = bytes(read_exactly(file, self.start + tail_start, self.start + self.size))
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            raise CheckpointError(
                "It begins like a file of torch.save but its end is missing: the download or the "
                "saving was cut off. Copy, download or save it again."
            )
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
        end = tail_start + at
        if len(tail) - at != _END.size + comment or disk or first_disk or here != count:
            raise CheckpointError(f"It goes on after the end of its archive. {_DAMAGED}")
        locator_at = at - _END64_LOCATOR.size
        if locator_at >= 0 and tail[locator_at : locator_at + 4] == b"PK\x06\x07":
            end = _END64_LOCATOR.unpack_from(tail, locator_at)[2]
            start, size, count = self._read_end64(file, end, tail_start + locator_at)
        if start + size != end:
            raise CheckpointError(
                "Its table of contents does not stand where the end of the archive says, as if "
                f"something was put in front of it or cut out. {_DAMAGED}"
            )
        return start, size, count

    def _read_end64(self, file: BinaryIO, at: int, locator_at: int) -> tuple[int, int, int]:
        if at + _END64.size > locator_at:
            raise CheckpointError(f"The end of its archive is damaged. {_DAMAGED}")
        data = bytes(read_exactly(file, self.start + at, self.start + at + _END64.size))
        signature, _, _, _, disk, first_disk, here, count, size, start = _END64.unpack(data)
        if signature != b"PK\x06\x06" or disk or first_disk or here != count:
            raise CheckpointError(f"The end of its archive is damaged. {_DAMAGED}")
        return start, size, count

    def data_start(self, name: str, file: BinaryIO) -> int:
        """The first byte of the contents of the record `name`, counted in the file."""
        record = self.records[name]
        begin = self.start + record.header_start
        header = bytes(read_exactly(file, begin, begin + _LOCAL.size + _name_size(record)))
        return begin + _check_local_header(record, header)

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
                f"Its compressed record {record.name!r} is damaged. {_DAMAGED}"
            ) from error
        if len(data) != record.size or not inflater.eof:
            raise CheckpointError(
                f"Its compressed record {record.name!r} does not have the size that the table of "
                f"contents gives. {_DAMAGED}"
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


def _parse_central(data: bytes, position: int) -> tuple[ZipRecord, int]:
    fields = _CENTRAL.unpack_from(data, position)
    signature, _, _, flags, method, _, _, checksum, stored_size, size, *lengths = fields
    name_size, extra_size, comment_size, _, _, _, header_start = lengths
    begin = position + _CENTRAL.size
    end = begin + name_size + extra_size + comment_size
    if signature != b"PK\x01\x02" or end > len(data):
        raise CheckpointError(f"Its table of contents is damaged. {_DAMAGED}")
    name = data[begin : begin + name_size].decode("utf-8")
    if flags & _ENCRYPTED_FLAGS:
        raise CheckpointError(
            f"Its record {name!r} is marked as encrypted. Unpack it with its password and save the "
            "checkpoint again with torch.save."
        )
    if method not in (STORED, DEFLATED):
        raise CheckpointError(
            f"Its record {name!r} is compressed in a way (number {method}) that torch.save does "
            "not use. Unpack it with the program that packed it."
        )
    if 0xFFFFFFFF in (stored_size, size, header_start):
        extra = data[begin + name_size : begin + name_size + extra_size]
        size, stored_size, header_start = _read_extra64(extra, size, stored_size, header_start)
    if method == STORED and stored_size != size:
        raise CheckpointError(f"Its record {name!r} gives two different sizes. {_DAMAGED}")
    return ZipRecord(name, header_start, stored_size, size, checksum, method), end


def _read_extra64(extra: bytes, *values: int) -> list[int]:
    """Replace those of `values` (size, stored size, start) that did not fit into 32 bits."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            try:
                return [next(wide) if value == 0xFFFFFFFF else value for value in values]
            except (StopIteration, RuntimeError):
                break
        position += 4 + length
    raise CheckpointError(f"Its table of contents is damaged. {_DAMAGED}")


def _check_layout(records: Mapping[str, ZipRecord], end: int) -> None:
    """Refuse records that overlap (one piece of the file read under two names) or lie outside."""
    spans = sorted(
        (record.header_start, record.header_start + _LOCAL.size + record.stored_size)
        for record in records.values()
    )
    if not spans or spans[0][0] != 0:
        raise CheckpointError(f"Something stands in front of its archive. {_DAMAGED}")
    if spans[-1][1] > end or any(stop > start for (_, stop), (start, _) in pairwise(spans)):
        raise CheckpointError(f"Records of its archive overlap. {_DAMAGED}")


def _name_size(record: ZipRecord) -> int:
    return len(record.name.encode("utf-8"))


def _check_local_header(record: ZipRecord, header: bytes) -> int:
    """Compare a record's own header with the table; returns the header's size in bytes."""
    signature, _, flags, method, _, _, checksum, stored_size, _, name_size, extra_size = (
        _LOCAL.unpack_from(header)
    )
    name = header[_LOCAL.size :]
    agrees = (
        signature == LOCAL_SIGNATURE
        and name_size == len(name)
        and name == record.name.encode("utf-8")
        and method == record.method
        and not flags & _ENCRYPTED_FLAGS
    )
    if agrees and not flags & _SIZES_FOLLOW_FLAG and stored_size != 0xFFFFFFFF:
        agrees = checksum == record.checksum and stored_size == record.stored_size
    if not agrees:
        raise CheckpointError(
            f"The header of its record {record.name!r} says something else than the table of "
            "contents, so that two programs could load two different things. Do not trust where "
            "it comes from."
        )
    return _LOCAL.size + name_size + extra_size
