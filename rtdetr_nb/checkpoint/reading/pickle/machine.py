"""The state of a pickle while it is read, and what its opcodes do to it.

A pickle is a program for a small machine with a stack and a memo. Here its calls and classes are
written down (`records`) instead of made. A length is compared with what is left of the stream
before anything is reserved, and long payloads stay in the file (`Span`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from typing import NoReturn

from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global, IdentityKey, PersistentId
from rtdetr_nb.checkpoint.reading.storage import Span
from rtdetr_nb.errors import CheckpointError

MAXIMUM_LINE = 1 << 14
"""Bytes of a line of the text opcodes of protocol 0."""
INLINE_LIMIT = 1 << 14
"""Bytes of the longest text or byte string that is kept; a longer one becomes a `Span`."""

MAXIMUM_NAME = 1_000
"""Characters of the name of a class or of its module."""

_PLAIN_KEYS = frozenset({str, float, bool, bytes, type(None)})
_LARGEST_KEY = 1 << 63


class Machine:
    """Stack, memo and limits of the pickles of one stream.

    Args:
        stream: A stream over the pickle and whatever follows it.
        size: Bytes of the stream.
    """

    def __init__(self, stream: BufferedReader | BytesIO, size: int) -> None:
        self.read = stream.read
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        """The stacks below the present one, which a MARK opcode puts aside."""
        self.memo: dict[int, object] = {}
        self.persistent_ids: list[PersistentId] = []
        """Every reference to something outside of the stream, in the order of the stream."""
        self.size = size
        self.protocol = 0
        """The highest that a pickle of the stream says it is of."""
        self._stream = stream
        self._globals: dict[tuple[str, str], Global] = {}

    @property
    def position(self) -> int:
        """Bytes of the stream that were read."""
        return self._stream.tell()

    @property
    def global_names(self) -> Iterator[str]:
        """The classes and functions that were named, in the order of the stream.

        One at a time: a pickle may name a million long ones.
        """
        return (found.path for found in self._globals.values())

    def clear(self) -> None:
        """Begin the next pickle of the stream."""
        self.stack, self.marks, self.memo = [], [], {}

    def refuse(self, reason: str) -> NoReturn:
        """Give up: `reason` completes the sentence "is damaged near byte N: ..."."""
        raise CheckpointError(
            f"Its description of the contents (a pickle) is damaged near byte {self.position:,}: "
            f"{reason}. Copy, download or save it again."
        ) from None

    def refuse_truncated(self, announced: int = 0) -> NoReturn:
        """Give up because the stream ends in the middle of something of `announced` bytes."""
        what = f"announces {announced:,} bytes, more than there are" if announced else "breaks off"
        raise CheckpointError(
            f"Its description of the contents (a pickle) {what}, near byte {self.position:,}: the "
            "file is truncated. Copy, download or save it again."
        ) from None

    def read_exactly(self, size: int) -> bytes:
        """Read `size` bytes; a size that the stream does not have is refused first."""
        if size > INLINE_LIMIT and size > self.size - self.position:
            self.refuse_truncated(size)
        data = self.read(size)
        if len(data) != size:
            self.refuse_truncated()
        return data

    def read_payload(self, size: int, is_text: bool) -> str | bytes | Span:
        """Read text or bytes of `size` bytes, or step over them if they are many."""
        if size <= INLINE_LIMIT:
            data = self.read_exactly(size)
            return decode_text(data) if is_text else data
        start = self.position
        if size > self.size - start:
            self.refuse_truncated(size)
        self._stream.seek(start + size)
        return Span(start, size, is_text)

    def read_line(self) -> bytes:
        """Read the text up to the end of the line, which is left out."""
        line = self._stream.readline(MAXIMUM_LINE)
        if not line.endswith(b"\n"):
            self.refuse("a line in it does not end")
        return line[:-1]

    def pop_mark(self) -> list[object]:
        """Take everything above the last mark from the stack."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def find_global(self, module: str, name: str) -> Global:
        """The record of a class or function; one for each name."""
        found = self._globals.get((module, name))
        if found is None:
            if len(module) > MAXIMUM_NAME or len(name) > MAXIMUM_NAME:
                self.refuse("the name of a class in it is too long")
            found = self._globals[module, name] = Global(module, name)
        return found

    def push_reference(self, value: object) -> None:
        """Put a reference to something outside of the stream onto the stack."""
        reference = PersistentId(value)
        self.persistent_ids.append(reference)
        self.stack.append(reference)

    def set_items(self, items: list[object]) -> None:
        """Put keys and values, in turn, into the dict (or the object like one) on the stack."""
        target = self.stack[-1]
        if type(target) is Call:
            if target.items is None:
                target.items = {}
            target = target.items
        if type(target) is not dict or len(items) % 2:
            self.refuse("entries are put into something that is not a dict")
        for index in range(0, len(items), 2):
            key = items[index]
            if type(key) is not str and not _is_plain_key(key):
                key = IdentityKey(key)
            target[key] = items[index + 1]

    def extend(self, elements: list[object]) -> None:
        """Append to the list (or the object like one) on the stack."""
        target = self.stack[-1]
        if type(target) is Call:
            if target.elements is None:
                target.elements = []
            target = target.elements
        if type(target) is not list:
            self.refuse("elements are put into something that is not a list")
        target.extend(elements)


def _is_plain_key(key: object) -> bool:
    """Whether a key can be hashed without harm: many long integers can share one hash."""
    if type(key) is int:
        return -_LARGEST_KEY <= key < _LARGEST_KEY
    return type(key) in _PLAIN_KEYS


def decode_text(data: bytes) -> str:
    """Decode UTF-8; other bytes are shown as backslash escapes."""
    return str(data, "utf-8", "backslashreplace")


Handler = Callable[[Machine], None]
"""What an opcode does."""
