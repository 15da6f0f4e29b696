"""The table of contents of a zip file, read strictly: what two readers could see differently is
refused.

An archive has to be one that `torch.save` could have written: one table at the end, every record
named once, none encrypted, and none overlapping another; the header in front of a record has to
agree with the table. The standard library's `zipfile` is not used: it opens what it can, with data
in front of the archive, two records of one name, or headers that contradict the table, which is
how a file shows one program other weights than another. Nor does it say where in the file the bytes
of a record lie, which reading single tensors needs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from rtdetr_nb.checkpoint.reading.storage import read_exactly
from rtdetr_nb.errors import CheckpointError

LOCAL_SIGNATURE = b"PK\x03\x04"
STORED, DEFLATED = 0, 8
DAMAGED = "Copy or download it again; if it stays so, do not trust where it comes from."
"""The last sentence about a damaged archive."""

MAXIMUM_DIRECTORY_SIZE = 1 << 24
"""Bytes of the table of contents; 16 MiB is more than 200,000 records."""

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_ENCRYPTED_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
_SIZES_FOLLOW_FLAG = 0x8


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


def read_directory(file: BinaryIO, start: int, size: int) -> dict[str, ZipRecord]:
    """Read the table of contents of an archive: its records by name.

    Args:
        file: The file, open.
        start: First byte of the archive in the file.
        size: Bytes of the archive.

    Raises:
        CheckpointError: The archive is truncated, damaged, or made so that two programs could read
            two different things from it.
    """
    directory_start, directory_size, count = _find_directory(file, start, size)
    if directory_size > MAXIMUM_DIRECTORY_SIZE:
        raise CheckpointError(
            f"Its table of contents takes {directory_size:,} bytes, more than any checkpoint "
            f"needs ({MAXIMUM_DIRECTORY_SIZE:,}), so it was not read."
        )
    begin = start + directory_start
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
        raise CheckpointError(f"Its table of contents is damaged. {DAMAGED}") from error
    if position != directory_size:
        raise CheckpointError(f"Its table of contents is damaged. {DAMAGED}")
    _check_layout(records, directory_start)
    return records


def _find_directory(file: BinaryIO, begin: int, size: int) -> tuple[int, int, int]:
    """Find the table of contents: its first byte, its size and its number of lines."""
    tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = bytes(read_exactly(file, begin + tail_start, begin + size))
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise CheckpointError(
            "It begins like a file of torch.save but its end is missing: the download or the "
            "saving was cut off. Copy, download or save it again."
        )
    _, disk, first_disk, here, count, length, first, comment = _END.unpack_from(tail, at)
    end = tail_start + at
    if len(tail) - at != _END.size + comment or disk or first_disk or here != count:
        raise CheckpointError(f"It goes on after the end of its archive. {DAMAGED}")
    locator_at = at - _END64_LOCATOR.size
    if locator_at >= 0 and tail[locator_at : locator_at + 4] == b"PK\x06\x07":
        end = _END64_LOCATOR.unpack_from(tail, locator_at)[2]
        first, length, count = _read_end64(file, begin, end, tail_start + locator_at)
    if first + length != end:
        raise CheckpointError(
            "Its table of contents does not stand where the end of the archive says, as if "
            f"something was put in front of it or cut out. {DAMAGED}"
        )
    return first, length, count


def _read_end64(file: BinaryIO, begin: int, at: int, locator_at: int) -> tuple[int, int, int]:
    if at + _END64.size > locator_at:
        raise CheckpointError(f"The end of its archive is damaged. {DAMAGED}")
    data = bytes(read_exactly(file, begin + at, begin + at + _END64.size))
    signature, _, _, _, disk, first_disk, here, count, size, start = _END64.unpack(data)
    if signature != b"PK\x06\x06" or disk or first_disk or here != count:
        raise CheckpointError(f"The end of its archive is damaged. {DAMAGED}")
    return start, size, count


def _parse_central(data: bytes, position: int) -> tuple[ZipRecord, int]:
    fields = _CENTRAL.unpack_from(data, position)
    signature, _, _, flags, method, _, _, checksum, stored_size, size, *lengths = fields
    name_size, extra_size, comment_size, _, _, _, header_start = lengths
    begin = position + _CENTRAL.size
    end = begin + name_size + extra_size + comment_size
    if signature != b"PK\x01\x02" or end > len(data):
        raise CheckpointError(f"Its table of contents is damaged. {DAMAGED}")
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
        raise CheckpointError(f"Its record {name!r} gives two different sizes. {DAMAGED}")
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
    raise CheckpointError(f"Its table of contents is damaged. {DAMAGED}")


def _check_layout(records: Mapping[str, ZipRecord], end: int) -> None:
    """Refuse records that overlap (one piece of the file read under two names) or lie outside."""
    spans = sorted(
        (record.header_start, record.header_start + _LOCAL.size + record.stored_size)
        for record in records.values()
    )
    if not spans or spans[0][0] != 0:
        raise CheckpointError(f"Something stands in front of its archive. {DAMAGED}")
    if spans[-1][1] > end or any(stop > start for (_, stop), (start, _) in pairwise(spans)):
        raise CheckpointError(f"Records of its archive overlap. {DAMAGED}")


def local_header_size(record: ZipRecord) -> int:
    """Bytes of a record's own header up to the end of its name."""
    return _LOCAL.size + len(record.name.encode("utf-8"))


def check_local_header(record: ZipRecord, header: bytes) -> int:
    """Compare a record's own header with the table.

    Args:
        record: The record, from the table.
        header: Its own header, `local_header_size` bytes of it.

    Returns:
        Bytes of the whole header: the contents begin behind it.

    Raises:
        CheckpointError: They do not agree.
    """
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
