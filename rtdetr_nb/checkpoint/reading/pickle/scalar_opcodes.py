"""Opcodes that push a number, a text or bytes."""

from __future__ import annotations

import struct
from _codecs import escape_decode, raw_unicode_escape_decode

from rtdetr_nb.checkpoint.reading.pickle.machine import Handler, Machine, decode_text

MAXIMUM_INTEGER = 1 << 10
"""Bytes of a whole number; also keeps its decimal text within what Python prints."""

_unpack_u16 = struct.Struct("<H").unpack
_unpack_i32 = struct.Struct("<i").unpack
_unpack_u32 = struct.Struct("<I").unpack
_unpack_u64 = struct.Struct("<Q").unpack
_unpack_f64 = struct.Struct(">d").unpack


def _none(machine: Machine) -> None:
    machine.stack.append(None)


def _new_true(machine: Machine) -> None:
    machine.stack.append(True)


def _new_false(machine: Machine) -> None:
    machine.stack.append(False)


def _binint1(machine: Machine) -> None:
    machine.stack.append(machine.read(1)[0])


def _binint2(machine: Machine) -> None:
    machine.stack.append(_unpack_u16(machine.read(2))[0])


def _binint(machine: Machine) -> None:
    machine.stack.append(_unpack_i32(machine.read(4))[0])


def _int(machine: Machine) -> None:
    line = machine.read_line()
    if line in (b"00", b"01"):
        machine.stack.append(line == b"01")
    else:
        machine.stack.append(read_number(machine, line))


def _long(machine: Machine) -> None:
    machine.stack.append(read_number(machine, machine.read_line().removesuffix(b"L")))


def read_number(machine: Machine, line: bytes) -> int:
    """A whole number in decimal text; one that is too long is refused."""
    if len(line) > 2 * MAXIMUM_INTEGER:
        machine.refuse("a number in it is too long")
    return int(line, 0)


def _long1(machine: Machine) -> None:
    machine.stack.append(
        int.from_bytes(machine.read_exactly(machine.read_exactly(1)[0]), "little", signed=True)
    )


def _long4(machine: Machine) -> None:
    size = _unpack_i32(machine.read(4))[0]
    if not 0 <= size <= MAXIMUM_INTEGER:
        machine.refuse(f"a number in it takes {size:,} bytes")
    machine.stack.append(int.from_bytes(machine.read_exactly(size), "little", signed=True))


def _float(machine: Machine) -> None:
    machine.stack.append(float(machine.read_line()))


def _binfloat(machine: Machine) -> None:
    machine.stack.append(_unpack_f64(machine.read(8))[0])


def _string(machine: Machine) -> None:
    line = machine.read_line().strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b'"', b"'"):
        machine.refuse("a text in it has no quotes")
    machine.stack.append(_python2_text(bytes(escape_decode(line[1:-1])[0])))


def _python2_text(data: object) -> object:
    """Text of Python 2, which may be bytes as well: text if it can be, else bytes."""
    if not isinstance(data, bytes):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _binstring(machine: Machine) -> None:
    size = _unpack_i32(machine.read(4))[0]
    if size < 0:
        machine.refuse("a text in it has a negative length")
    machine.stack.append(_python2_text(machine.read_payload(size, False)))


def _short_binstring(machine: Machine) -> None:
    machine.stack.append(_python2_text(machine.read_exactly(machine.read_exactly(1)[0])))


def _binbytes(machine: Machine) -> None:
    machine.stack.append(machine.read_payload(_unpack_u32(machine.read(4))[0], False))


def _short_binbytes(machine: Machine) -> None:
    machine.stack.append(machine.read_exactly(machine.read_exactly(1)[0]))


def _binbytes8(machine: Machine) -> None:
    machine.stack.append(machine.read_payload(_unpack_u64(machine.read(8))[0], False))


def _unicode(machine: Machine) -> None:
    machine.stack.append(raw_unicode_escape_decode(machine.read_line(), "replace")[0])


def _binunicode(machine: Machine) -> None:
    machine.stack.append(machine.read_payload(_unpack_u32(machine.read(4))[0], True))


def _short_binunicode(machine: Machine) -> None:
    machine.stack.append(decode_text(machine.read_exactly(machine.read_exactly(1)[0])))


def _binunicode8(machine: Machine) -> None:
    machine.stack.append(machine.read_payload(_unpack_u64(machine.read(8))[0], True))


SCALAR_OPCODES: dict[bytes, Handler] = {
    b"N": _none, b"\x88": _new_true, b"\x89": _new_false, b"K": _binint1, b"M": _binint2,
    b"J": _binint, b"I": _int, b"L": _long, b"\x8a": _long1, b"\x8b": _long4, b"F": _float,
    b"G": _binfloat, b"S": _string, b"T": _binstring, b"U": _short_binstring, b"B": _binbytes,
    b"C": _short_binbytes, b"\x8e": _binbytes8, b"\x96": _binbytes8, b"V": _unicode,
    b"X": _binunicode, b"\x8c": _short_binunicode, b"\x8d": _binunicode8,
}  # fmt: skip
