"""The three lists of a COCO-format file, and the long one of them piece by piece."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

T = TypeVar("T")

_PIECE = 4_000_000  # bytes of annotations that are decoded at once
_TRIES = 16  # places to cut at; behind them the rest is one piece
_TAIL = 1_000_000  # bytes behind the annotations, in which their end is looked for
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
_BEGIN = re.compile(rb'"annotations"\s*:\s*(?=\[)')
_END = re.compile(rb"\}\s*\]")


class Parts(Struct, gc=False):
    """The lists of a file, not decoded yet."""

    images: Raw
    annotations: Raw
    categories: Raw


def split_parts(content: bytes) -> tuple[Parts, memoryview]:
    """The lists of a file, and the JSON array of its annotations.

    Raises:
        msgspec.DecodeError: the content is no JSON object with the three lists.
    """
    quickly = _without_annotations(content)
    if quickly is not None:
        return quickly
    parts = msgspec.json.decode(content, type=Parts)
    return parts, memoryview(parts.annotations)


def _without_annotations(content: bytes) -> tuple[Parts, memoryview] | None:
    """As `split_parts`, without reading the annotations; None if their place is not certain.

    With an empty list in the place of what is taken for the annotations, the rest has to be whole,
    and the one list of that name has to be that one. `pieces` sees whether the array is.
    """
    begin = _BEGIN.search(content)
    if begin is None:
        return None
    candidates = _END.finditer(content, max(begin.end(), len(content) - _TAIL))
    for _, end in zip(range(_TRIES), candidates, strict=False):
        rest = b"%b[]%b" % (content[: begin.end()], content[end.end() :])
        try:
            parts = msgspec.json.decode(rest, type=Parts)
        except msgspec.DecodeError:
            continue
        if rest.count(b'"annotations"') == 1 and bytes(parts.annotations) == b"[]":
            return parts, memoryview(content)[begin.end() : end.end()]
    return None


def pieces(array: memoryview, kind: type[T]) -> Iterator[list[T] | list[Any]]:
    """Decode a JSON array of objects piece by piece.

    A piece ends where one object ends and the next begins. What looks like such a place may lie
    inside an object or a text; then the piece is no JSON, and the next place is tried.

    Args:
        array: the text of the array.
        kind: what each object is decoded to; a piece with one that does not fit comes as plain JSON
            values.

    Raises:
        msgspec.DecodeError: the array is no JSON.
    """
    decoder = msgspec.json.Decoder(list[kind])
    start, end = 1, len(array) - 1
    stop, tries = start, 0
    while start < end:
        found = _BETWEEN.search(array, max(stop, start + _PIECE), end) if tries < _TRIES else None
        stop = found.start() + 1 if found else end
        try:
            piece = _decode(b"[%b]" % array[start:stop], decoder)
        except msgspec.DecodeError:
            if found is None:
                raise
            tries += 1
            continue
        yield piece
        start, tries = (found.end() if found else end), 0


def _decode(text: bytes, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        return msgspec.json.decode(text, type=list)


def decode_whole(text: Raw, kind: type[T]) -> Sequence[T]:
    """A JSON array decoded to objects of a kind; nothing where one does not fit."""
    try:
        return msgspec.json.decode(text, type=list[kind])
    except msgspec.ValidationError:
        return []
