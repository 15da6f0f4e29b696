"""Pickles spelt out opcode by opcode, for what no pickler would write."""

import struct

STOP = b"."
MARK = b"("


def text(value: str) -> bytes:
    """A text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    """A whole number, as protocol 2 spells a long one."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def pair_of(first: bytes, second: bytes) -> bytes:
    """A tuple of two."""
    return first + second + b"\x86"


def tuple_of(*parts: bytes) -> bytes:
    """A tuple."""
    return MARK + b"".join(parts) + b"t"


def dict_of(entries: dict[str, bytes]) -> bytes:
    """A dict with texts as keys."""
    return b"}" + MARK + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def global_of(module: str, name: str) -> bytes:
    """A class or function, as protocol 2 names it."""
    return f"c{module}\n{name}\n".encode()


def storage(key: str = "0", numel: int | bytes = 4, kind: str = "FloatStorage") -> bytes:
    """A reference to a storage of a torch file."""
    count = numel if isinstance(numel, bytes) else number(numel)
    parts = (text("storage"), global_of("torch", kind), text(key), text("cpu"), count)
    return tuple_of(*parts) + b"Q"


def tensor(
    shape: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    source: bytes | None = None,
) -> bytes:
    """A tensor that is a view of a storage."""
    arguments = tuple_of(
        source if source is not None else storage(),
        number(offset),
        tuple_of(*map(number, shape)),
        tuple_of(*map(number, stride)),
        b"\x89",
        global_of("collections", "OrderedDict") + b")R",
    )
    return global_of("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def program(body: bytes, protocol: int = 2) -> bytes:
    """A whole pickle."""
    return b"\x80" + bytes([protocol]) + body + STOP


def calls(module: str, name: str, *arguments: bytes) -> dict[str, bytes]:
    """Every way in which a pickle can say `module.name(*arguments)`, by the name of the way."""
    found = global_of(module, name)
    packed = tuple_of(*arguments)
    stack_global = text(module) + text(name) + b"\x93"
    return {
        "GLOBAL REDUCE": found + packed + b"R",
        "STACK_GLOBAL REDUCE": stack_global + packed + b"R",
        "INST": MARK + b"".join(arguments) + f"i{module}\n{name}\n".encode(),
        "OBJ": MARK + found + b"".join(arguments) + b"o",
        "NEWOBJ": found + packed + b"\x81",
        "NEWOBJ_EX": found + packed + b"}" + b"\x92",
        "memo": found + b"q\x310" + b"h\x31" + packed + b"R",
        "popped": found + packed + b"R0N",
        "BUILD on a function": found + dict_of({"__kwdefaults__": b"}"}) + b"b" + packed + b"R",
        "__setstate__": found + packed + b"R" + dict_of({"__class__": found}) + b"b",
        "as an element": b"]" + MARK + found + packed + b"R" + b"e",
        "as a key": b"}" + found + packed + b"R" + b"N" + b"s",
        "persistent id": found + packed + b"R" + b"Q",
        "partial": global_of("functools", "partial") + tuple_of(found, *arguments) + b"R)R",
        "getattr": global_of("builtins", "getattr")
        + tuple_of(global_of("builtins", "__import__") + tuple_of(text(module)) + b"R", text(name))
        + b"R"
        + packed
        + b"R",
    }
