"""Where the bytes of a tensor lie, and how to read only those that are asked for."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

from rtdetr_nb.errors import CheckpointError

MAXIMUM_INFLATED_TOTAL = 1 << 30
"""Bytes of compressed records that are unpacked for one reading."""
_BUFFER_SIZE = 1 << 18


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when it was opened first: enough to notice that it was replaced since."""

    path: Path
    size: int
    modified_ns: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> SourceFile:
        """Take the present state of the file at `path`."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ino)

    def open(self) -> BinaryIO:
        """Open the file for reading, without a buffer; refuse it if it is not the same any more."""
        try:
            file = open(self.path, "rb", buffering=0)  # noqa: SIM115 (the caller closes it)
        except OSError as error:
            raise CheckpointError(
                f"The file {self.path.name} cannot be read ({error.strerror}). Make it readable, "
                "and open the checkpoint again."
            ) from error
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns, status.st_ino) != (
            self.size,
            self.modified_ns,
            self.inode,
        ):
            file.close()
            raise CheckpointError(
                "The file was written to after it was opened, so its tensors may have moved. "
                "Open the checkpoint again once the writing is finished."
            )
        return file


class OpenFiles:
    """Files that stay open while several tensors are read; closed together at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._files: dict[SourceFile, BinaryIO] = {}
        self._inflated = 0

    def __enter__(self) -> OpenFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def file(self, source: SourceFile) -> BinaryIO:
        """The file, opened if it was not yet."""
        file = self._files.get(source)
        if file is None:
            file = self._files[source] = self._stack.enter_context(source.open())
        return file

    def count_inflated(self, size: int) -> None:
        """Count bytes that were compressed; a tiny file must not keep the machine busy for hours.

        Raises:
            CheckpointError: There are more than any compressed checkpoint has.
        """
        self._inflated += size
        if self._inflated > MAXIMUM_INFLATED_TOTAL:
            raise CheckpointError(
                "It is compressed, and what was asked for takes more than "
                f"{MAXIMUM_INFLATED_TOTAL:,} bytes when unpacked. torch.save never compresses: "
                "load it with the program that wrote it and save it again with torch.save."
            )

    def read(self, source: SourceFile, start: int, stop: int) -> bytearray:
        """Read the bytes from `start` up to `stop` of a file."""
        return read_exactly(self.file(source), start, stop)


def read_exactly(file: BinaryIO, start: int, stop: int) -> bytearray:
    """Read the bytes from `start` up to `stop`; a file that ends before raises CheckpointError.

    The caller has compared `stop` with the size of the file: the memory is taken before the
    reading.
    """
    buffer = bytearray(stop - start)
    view = memoryview(buffer)
    file.seek(start)
    done = 0
    while done < len(buffer):
        count = file.readinto(view[done:])  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            raise CheckpointError(
                f"The file ends at byte {start + done:,} but goes on to byte {stop:,} according "
                "to its own table: it is truncated. Copy or download it again."
            )
        done += count
    return buffer


class FileRegion(io.RawIOBase):
    """A part of a file, read like a whole file: a record of an archive, a shard of a folder."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Regions can be read."""
        return True

    def seekable(self) -> bool:
        """Regions can be moved in."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, the present place or the end of the region."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill `buffer` as far as the region goes; the number of bytes read, 0 at the end."""
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        self._file.seek(self._start + self._position)
        count = self._file.readinto(memoryview(buffer)[:count])  # pyright: ignore[reportAttributeAccessIssue]
        self._position += count
        return count


def buffered(region: FileRegion) -> io.BufferedReader:
    """A buffered stream over a region, for a reader that takes a few bytes at a time."""
    return io.BufferedReader(region, _BUFFER_SIZE)


class Storage(Protocol):
    """Bytes that one or more tensors are views of."""

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        ...

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read the bytes from `start` up to `stop`, counted from the start of the storage."""
        ...


@dataclass(frozen=True, slots=True)
class FileSpan:
    """A storage that lies in a file as it is: `nbytes` bytes from `start` on."""

    source: SourceFile
    start: int
    nbytes: int

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read the bytes from `start` up to `stop`, counted from the start of the storage."""
        return files.read(self.source, self.start + start, self.start + stop)


@dataclass(frozen=True, slots=True)
class Latin1Span:
    """A storage that was pickled as text, one character a byte, and written in UTF-8.

    That is how pickle protocols before 3 carry the bytes of a numpy array.
    """

    source: SourceFile
    start: int
    encoded_size: int
    nbytes: int

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Read the bytes from `start` up to `stop`, counted from the start of the storage."""
        encoded = files.read(self.source, self.start, self.start + self.encoded_size)
        data = latin1_bytes(encoded.decode("utf-8", "replace"))
        check_size(len(data), self.nbytes)
        return bytearray(data[start:stop])


@dataclass(frozen=True, slots=True)
class InlineBytes:
    """A storage so small that it was kept while the file was listed."""

    data: bytes

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Copy the bytes from `start` up to `stop`."""
        return bytearray(self.data[start:stop])


@dataclass(frozen=True, slots=True)
class InlineText:
    """A small storage that was pickled as text, one character a byte; see `Latin1Span`."""

    text: str

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return len(self.text)

    def read(self, files: OpenFiles, start: int, stop: int) -> bytearray:
        """Turn the characters from `start` up to `stop` into bytes."""
        return bytearray(latin1_bytes(self.text[start:stop]))


class Span:
    """A payload that was left in the stream because it is long.

    Attributes:
        start: First byte, counted from the start of the stream.
        size: Bytes it takes.
        is_text: Whether it is text in UTF-8, else bytes.
    """

    __slots__ = ("is_text", "size", "start")

    def __init__(self, start: int, size: int, is_text: bool) -> None:
        self.start = start
        self.size = size
        self.is_text = is_text


def payload_storage(source: SourceFile, start: int, span: Span, nbytes: int) -> Storage:
    """The storage of an array inside of a pickle.

    Args:
        source: The file.
        start: First byte of the payload in the file.
        span: The payload, as the pickle reader found it.
        nbytes: Bytes that the shape of the array needs.

    Raises:
        CheckpointError: The payload is of another size.
    """
    if span.is_text:
        return Latin1Span(source, start, span.size, nbytes)
    check_size(span.size, nbytes)
    return FileSpan(source, start, nbytes)


FindStorage = Callable[[str, int], Storage]
"""Gives the storage of a key, which has to have at least so many bytes."""
MakeStorage = Callable[[Span, int], Storage]
"""Gives the storage of a long payload in a stream, which has to have so many bytes."""


def latin1_bytes(text: str) -> bytes:
    """Turn text that stands for bytes back into them; CheckpointError if it does not."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise CheckpointError(
            "An array of the file is stored as text that does not stand for bytes: the file is "
            "damaged. Copy or download it again."
        ) from error


def check_size(found: int, expected: int) -> None:
    """Refuse an array of `found` bytes whose shape needs `expected` bytes."""
    if found != expected:
        raise CheckpointError(
            f"An array of the file holds {found:,} bytes where its shape needs {expected:,}: the "
            "file is damaged. Copy or download it again."
        )
