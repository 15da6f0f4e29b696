"""Opcodes that build lists, dicts and tuples, and that name classes and call them."""

from __future__ import annotations

from rtdetr_nb.checkpoint.reading.pickle.machine import Handler, Machine, decode_text
from rtdetr_nb.checkpoint.reading.pickle.records import FROZEN_SET, SET, Call


def _empty_list(machine: Machine) -> None:
    machine.stack.append([])


def _list(machine: Machine) -> None:
    elements = machine.pop_mark()
    machine.stack.append(elements)


def _append(machine: Machine) -> None:
    element = machine.stack.pop()
    machine.extend([element])


def _appends(machine: Machine) -> None:
    elements = machine.pop_mark()
    machine.extend(elements)


def _empty_tuple(machine: Machine) -> None:
    machine.stack.append(())


def _tuple(machine: Machine) -> None:
    elements = machine.pop_mark()
    machine.stack.append(tuple(elements))


def _tuple1(machine: Machine) -> None:
    machine.stack[-1] = (machine.stack[-1],)


def _tuple2(machine: Machine) -> None:
    stack = machine.stack
    last = stack.pop()
    stack[-1] = (stack[-1], last)


def _tuple3(machine: Machine) -> None:
    stack = machine.stack
    last = stack.pop()
    middle = stack.pop()
    stack[-1] = (stack[-1], middle, last)


def _empty_dict(machine: Machine) -> None:
    machine.stack.append({})


def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    machine.set_items(items)


def _setitem(machine: Machine) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    machine.set_items([key, value])


def _setitems(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.set_items(items)


def _empty_set(machine: Machine) -> None:
    machine.stack.append(Call(SET, ()))


def _additems(machine: Machine) -> None:
    elements = machine.pop_mark()
    machine.extend(elements)


def _frozenset(machine: Machine) -> None:
    elements = machine.pop_mark()
    machine.stack.append(Call(FROZEN_SET, (elements,)))


def _global(machine: Machine) -> None:
    module = decode_text(machine.read_line())
    machine.stack.append(machine.find_global(module, decode_text(machine.read_line())))


def _stack_global(machine: Machine) -> None:
    name = machine.stack.pop()
    module = machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        machine.refuse("the name of a class in it is not a text")
    machine.stack.append(machine.find_global(module, name))


def _extension(machine: Machine, size: int) -> None:
    code = int.from_bytes(machine.read_exactly(size), "little")
    machine.stack.append(machine.find_global("copyreg", f"extension {code}"))


def _ext1(machine: Machine) -> None:
    _extension(machine, 1)


def _ext2(machine: Machine) -> None:
    _extension(machine, 2)


def _ext4(machine: Machine) -> None:
    _extension(machine, 4)


def _reduce(machine: Machine) -> None:
    arguments = machine.stack.pop()
    machine.stack[-1] = Call(machine.stack[-1], arguments)


def _inst(machine: Machine) -> None:
    module = decode_text(machine.read_line())
    function = machine.find_global(module, decode_text(machine.read_line()))
    arguments = machine.pop_mark()
    machine.stack.append(Call(function, tuple(arguments)))


def _obj(machine: Machine) -> None:
    function, *arguments = machine.pop_mark() or machine.refuse("an object in it has no class")
    machine.stack.append(Call(function, tuple(arguments)))


def _newobj_ex(machine: Machine) -> None:
    keywords = machine.stack.pop()
    arguments = machine.stack.pop()
    machine.stack[-1] = Call(machine.stack[-1], arguments, keywords)


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is Call:
        target.state = state


def _persid(machine: Machine) -> None:
    machine.push_reference(decode_text(machine.read_line()))


def _binpersid(machine: Machine) -> None:
    machine.push_reference(machine.stack.pop())


OBJECT_OPCODES: dict[bytes, Handler] = {
    b"]": _empty_list, b"l": _list, b"a": _append, b"e": _appends, b")": _empty_tuple,
    b"t": _tuple, b"\x85": _tuple1, b"\x86": _tuple2, b"\x87": _tuple3, b"}": _empty_dict,
    b"d": _dict, b"s": _setitem, b"u": _setitems, b"\x8f": _empty_set, b"\x90": _additems,
    b"\x91": _frozenset, b"c": _global, b"\x93": _stack_global, b"\x82": _ext1, b"\x83": _ext2,
    b"\x84": _ext4, b"R": _reduce, b"i": _inst, b"o": _obj, b"\x81": _reduce,
    b"\x92": _newobj_ex, b"b": _build, b"P": _persid, b"Q": _binpersid,
}  # fmt: skip
