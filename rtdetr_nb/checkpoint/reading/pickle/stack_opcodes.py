"""Opcodes that begin and end a pickle, and move what is on the stack and in the memo."""

from __future__ import annotations

import struct

from rtdetr_nb.checkpoint.reading.pickle.machine import Handler, Machine
from rtdetr_nb.checkpoint.reading.pickle.scalar_opcodes import read_number

HIGHEST_PROTOCOL = 5

_unpack_u32 = struct.Struct("<I").unpack


class EndOfPickle(Exception):  # noqa: N818 (not an error: the pickle is complete)
    """Raised by the last opcode."""


def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _stop(machine: Machine) -> None:
    raise EndOfPickle


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


def _dup(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _proto(machine: Machine) -> None:
    protocol = machine.read_exactly(1)[0]
    if protocol > HIGHEST_PROTOCOL:
        machine.refuse(f"it is of protocol {protocol}, which does not exist")
    machine.protocol = max(machine.protocol, protocol)


def _frame(machine: Machine) -> None:
    # A frame only tells a reader how much to fetch at once; whether its length is true or not,
    # the opcodes are the same.
    machine.read_exactly(8)


def _memo_index(machine: Machine) -> int:
    index = read_number(machine, machine.read_line())
    if not 0 <= index < 1 << 32:  # long integers can be made that all share one hash
        machine.refuse("a reference in it is too large")
    return index


def _get(machine: Machine) -> None:
    machine.stack.append(machine.memo[_memo_index(machine)])


def _binget(machine: Machine) -> None:
    machine.stack.append(machine.memo[machine.read(1)[0]])


def _long_binget(machine: Machine) -> None:
    machine.stack.append(machine.memo[_unpack_u32(machine.read(4))[0]])


def _put(machine: Machine) -> None:
    machine.memo[_memo_index(machine)] = machine.stack[-1]


def _binput(machine: Machine) -> None:
    machine.memo[machine.read(1)[0]] = machine.stack[-1]


def _long_binput(machine: Machine) -> None:
    machine.memo[_unpack_u32(machine.read(4))[0]] = machine.stack[-1]


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _next_buffer(machine: Machine) -> None:
    machine.refuse("parts of it are in another file, which checkpoints never are")


def _readonly_buffer(machine: Machine) -> None:
    pass


STACK_OPCODES: dict[bytes, Handler] = {
    b"(": _mark, b".": _stop, b"0": _pop, b"1": _pop_mark, b"2": _dup, b"\x80": _proto,
    b"\x95": _frame, b"\x97": _next_buffer, b"\x98": _readonly_buffer, b"g": _get,
    b"h": _binget, b"j": _long_binget, b"p": _put, b"q": _binput, b"r": _long_binput,
    b"\x94": _memoize,
}  # fmt: skip
