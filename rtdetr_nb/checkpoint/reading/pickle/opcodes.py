"""What each opcode of a pickle does to the reader's stack: one small function for each.

They are plain functions in a table, because the loop over them is nearly all the time that listing
a file takes. Their names are those of `pickletools`.
"""

from __future__ import annotations

import struct
from _codecs import escape_decode, raw_unicode_escape_decode
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.reading.pickle.records import FROZEN_SET, SET, Call

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.reading.pickle.reader import PickleReader

MAXIMUM_INTEGER = 1 << 10
"""Bytes of a whole number; also keeps its decimal text within what Python prints."""
HIGHEST_PROTOCOL = 5

_unpack_u16 = struct.Struct("<H").unpack
_unpack_i32 = struct.Struct("<i").unpack
_unpack_u32 = struct.Struct("<I").unpack
_unpack_u64 = struct.Struct("<Q").unpack
_unpack_f64 = struct.Struct(">d").unpack


class EndOfPickle(Exception):  # noqa: N818 (not an error: the pickle is complete)
    """Raised by the last opcode."""


def decode_text(data: bytes) -> str:
    """Decode UTF-8; what is none stays readable as backslash escapes."""
    return str(data, "utf-8", "backslashreplace")


def _mark(reader: PickleReader) -> None:
    reader.marks.append(reader.stack)
    reader.stack = []


def _stop(reader: PickleReader) -> None:
    raise EndOfPickle


def _pop(reader: PickleReader) -> None:
    if reader.stack:
        reader.stack.pop()
    else:
        reader.pop_mark()


def _pop_mark(reader: PickleReader) -> None:
    reader.pop_mark()


def _dup(reader: PickleReader) -> None:
    reader.stack.append(reader.stack[-1])


def _proto(reader: PickleReader) -> None:
    protocol = reader.read_exactly(1)[0]
    if protocol > HIGHEST_PROTOCOL:
        reader.refuse(f"it is of protocol {protocol}, which does not exist")


def _frame(reader: PickleReader) -> None:
    # A frame only tells a reader how much to fetch at once; whether its length is true or not,
    # the opcodes are the same.
    reader.read_exactly(8)


def _none(reader: PickleReader) -> None:
    reader.stack.append(None)


def _new_true(reader: PickleReader) -> None:
    reader.stack.append(True)


def _new_false(reader: PickleReader) -> None:
    reader.stack.append(False)


def _binint1(reader: PickleReader) -> None:
    reader.stack.append(reader.read(1)[0])


def _binint2(reader: PickleReader) -> None:
    reader.stack.append(_unpack_u16(reader.read(2))[0])


def _binint(reader: PickleReader) -> None:
    reader.stack.append(_unpack_i32(reader.read(4))[0])


def _int(reader: PickleReader) -> None:
    line = reader.read_line()
    if line in (b"00", b"01"):
        reader.stack.append(line == b"01")
    else:
        reader.stack.append(_number(reader, line))


def _long(reader: PickleReader) -> None:
    reader.stack.append(_number(reader, reader.read_line().removesuffix(b"L")))


def _number(reader: PickleReader, line: bytes) -> int:
    if len(line) > 2 * MAXIMUM_INTEGER:
        reader.refuse("a number in it is too long")
    return int(line, 0)


def _long1(reader: PickleReader) -> None:
    reader.stack.append(
        int.from_bytes(reader.read_exactly(reader.read_exactly(1)[0]), "little", signed=True)
    )


def _long4(reader: PickleReader) -> None:
    size = _unpack_i32(reader.read(4))[0]
    if not 0 <= size <= MAXIMUM_INTEGER:
        reader.refuse(f"a number in it takes {size:,} bytes")
    reader.stack.append(int.from_bytes(reader.read_exactly(size), "little", signed=True))


def _float(reader: PickleReader) -> None:
    reader.stack.append(float(reader.read_line()))


def _binfloat(reader: PickleReader) -> None:
    reader.stack.append(_unpack_f64(reader.read(8))[0])


def _string(reader: PickleReader) -> None:
    line = reader.read_line().strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b'"', b"'"):
        reader.refuse("a text in it has no quotes")
    reader.stack.append(_python2_text(bytes(escape_decode(line[1:-1])[0])))


def _python2_text(data: object) -> object:
    """Text of Python 2, which may be bytes as well: text if it can be, else bytes."""
    if not isinstance(data, bytes):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _binstring(reader: PickleReader) -> None:
    size = _unpack_i32(reader.read(4))[0]
    if size < 0:
        reader.refuse("a text in it has a negative length")
    reader.stack.append(_python2_text(reader.read_payload(size, False)))


def _short_binstring(reader: PickleReader) -> None:
    reader.stack.append(_python2_text(reader.read_exactly(reader.read_exactly(1)[0])))


def _binbytes(reader: PickleReader) -> None:
    reader.stack.append(reader.read_payload(_unpack_u32(reader.read(4))[0], False))


def _short_binbytes(reader: PickleReader) -> None:
    reader.stack.append(reader.read_exactly(reader.read_exactly(1)[0]))


def _binbytes8(reader: PickleReader) -> None:
    reader.stack.append(reader.read_payload(_unpack_u64(reader.read(8))[0], False))


def _unicode(reader: PickleReader) -> None:
    reader.stack.append(raw_unicode_escape_decode(reader.read_line(), "replace")[0])


def _binunicode(reader: PickleReader) -> None:
    reader.stack.append(reader.read_payload(_unpack_u32(reader.read(4))[0], True))


def _short_binunicode(reader: PickleReader) -> None:
    reader.stack.append(decode_text(reader.read_exactly(reader.read_exactly(1)[0])))


def _binunicode8(reader: PickleReader) -> None:
    reader.stack.append(reader.read_payload(_unpack_u64(reader.read(8))[0], True))


def _next_buffer(reader: PickleReader) -> None:
    reader.refuse("parts of it are in another file, which checkpoints never are")


def _readonly_buffer(reader: PickleReader) -> None:
    pass


def _empty_list(reader: PickleReader) -> None:
    reader.stack.append([])


def _list(reader: PickleReader) -> None:
    elements = reader.pop_mark()
    reader.stack.append(elements)


def _append(reader: PickleReader) -> None:
    element = reader.stack.pop()
    reader.extend([element])


def _appends(reader: PickleReader) -> None:
    elements = reader.pop_mark()
    reader.extend(elements)


def _empty_tuple(reader: PickleReader) -> None:
    reader.stack.append(())


def _tuple(reader: PickleReader) -> None:
    elements = reader.pop_mark()
    reader.stack.append(tuple(elements))


def _tuple1(reader: PickleReader) -> None:
    reader.stack[-1] = (reader.stack[-1],)


def _tuple2(reader: PickleReader) -> None:
    stack = reader.stack
    last = stack.pop()
    stack[-1] = (stack[-1], last)


def _tuple3(reader: PickleReader) -> None:
    stack = reader.stack
    last = stack.pop()
    middle = stack.pop()
    stack[-1] = (stack[-1], middle, last)


def _empty_dict(reader: PickleReader) -> None:
    reader.stack.append({})


def _dict(reader: PickleReader) -> None:
    items = reader.pop_mark()
    reader.stack.append({})
    reader.set_items(items)


def _setitem(reader: PickleReader) -> None:
    value = reader.stack.pop()
    key = reader.stack.pop()
    reader.set_items([key, value])


def _setitems(reader: PickleReader) -> None:
    items = reader.pop_mark()
    reader.set_items(items)


def _empty_set(reader: PickleReader) -> None:
    reader.stack.append(Call(SET, ()))


def _additems(reader: PickleReader) -> None:
    elements = reader.pop_mark()
    reader.extend(elements)


def _frozenset(reader: PickleReader) -> None:
    elements = reader.pop_mark()
    reader.stack.append(Call(FROZEN_SET, (elements,)))


def _get(reader: PickleReader) -> None:
    reader.stack.append(reader.memo[_memo_index(reader)])


def _memo_index(reader: PickleReader) -> int:
    index = _number(reader, reader.read_line())
    if not 0 <= index < 1 << 32:  # long integers can be made that all share one hash
        reader.refuse("a reference in it is too large")
    return index


def _binget(reader: PickleReader) -> None:
    reader.stack.append(reader.memo[reader.read(1)[0]])


def _long_binget(reader: PickleReader) -> None:
    reader.stack.append(reader.memo[_unpack_u32(reader.read(4))[0]])


def _put(reader: PickleReader) -> None:
    reader.memo[_memo_index(reader)] = reader.stack[-1]


def _binput(reader: PickleReader) -> None:
    reader.memo[reader.read(1)[0]] = reader.stack[-1]


def _long_binput(reader: PickleReader) -> None:
    reader.memo[_unpack_u32(reader.read(4))[0]] = reader.stack[-1]


def _memoize(reader: PickleReader) -> None:
    reader.memo[len(reader.memo)] = reader.stack[-1]


def _global(reader: PickleReader) -> None:
    module = decode_text(reader.read_line())
    reader.stack.append(reader.find_global(module, decode_text(reader.read_line())))


def _stack_global(reader: PickleReader) -> None:
    name = reader.stack.pop()
    module = reader.stack.pop()
    if type(name) is not str or type(module) is not str:
        reader.refuse("the name of a class in it is no text")
    reader.stack.append(reader.find_global(module, name))


def _extension(reader: PickleReader, size: int) -> None:
    code = int.from_bytes(reader.read_exactly(size), "little")
    reader.stack.append(reader.find_global("copyreg", f"extension {code}"))


def _ext1(reader: PickleReader) -> None:
    _extension(reader, 1)


def _ext2(reader: PickleReader) -> None:
    _extension(reader, 2)


def _ext4(reader: PickleReader) -> None:
    _extension(reader, 4)


def _reduce(reader: PickleReader) -> None:
    arguments = reader.stack.pop()
    reader.stack[-1] = Call(reader.stack[-1], arguments)


def _inst(reader: PickleReader) -> None:
    module = decode_text(reader.read_line())
    function = reader.find_global(module, decode_text(reader.read_line()))
    arguments = reader.pop_mark()
    reader.stack.append(Call(function, tuple(arguments)))


def _obj(reader: PickleReader) -> None:
    function, *arguments = reader.pop_mark() or reader.refuse("an object in it has no class")
    reader.stack.append(Call(function, tuple(arguments)))


def _newobj_ex(reader: PickleReader) -> None:
    keywords = reader.stack.pop()
    arguments = reader.stack.pop()
    reader.stack[-1] = Call(reader.stack[-1], arguments, keywords)


def _build(reader: PickleReader) -> None:
    state = reader.stack.pop()
    target = reader.stack[-1]
    if type(target) is Call:
        target.state = state


def _persid(reader: PickleReader) -> None:
    reader.push_reference(decode_text(reader.read_line()))


def _binpersid(reader: PickleReader) -> None:
    reader.push_reference(reader.stack.pop())


HANDLERS: dict[bytes, Callable[[PickleReader], None]] = {
    b"(": _mark, b".": _stop, b"0": _pop, b"1": _pop_mark, b"2": _dup,
    b"\x80": _proto, b"\x95": _frame,
    b"N": _none, b"\x88": _new_true, b"\x89": _new_false,
    b"K": _binint1, b"M": _binint2, b"J": _binint, b"I": _int, b"L": _long,
    b"\x8a": _long1, b"\x8b": _long4, b"F": _float, b"G": _binfloat,
    b"S": _string, b"T": _binstring, b"U": _short_binstring,
    b"B": _binbytes, b"C": _short_binbytes, b"\x8e": _binbytes8, b"\x96": _binbytes8,
    b"V": _unicode, b"X": _binunicode, b"\x8c": _short_binunicode, b"\x8d": _binunicode8,
    b"\x97": _next_buffer, b"\x98": _readonly_buffer,
    b"]": _empty_list, b"l": _list, b"a": _append, b"e": _appends,
    b")": _empty_tuple, b"t": _tuple, b"\x85": _tuple1, b"\x86": _tuple2, b"\x87": _tuple3,
    b"}": _empty_dict, b"d": _dict, b"s": _setitem, b"u": _setitems,
    b"\x8f": _empty_set, b"\x90": _additems, b"\x91": _frozenset,
    b"g": _get, b"h": _binget, b"j": _long_binget,
    b"p": _put, b"q": _binput, b"r": _long_binput, b"\x94": _memoize,
    b"c": _global, b"\x93": _stack_global, b"\x82": _ext1, b"\x83": _ext2, b"\x84": _ext4,
    b"R": _reduce, b"i": _inst, b"o": _obj, b"\x81": _reduce, b"\x92": _newobj_ex, b"b": _build,
    b"P": _persid, b"Q": _binpersid,
}  # fmt: skip
