"""Files that are made to do harm, by name: how to build each, and what has to come of it."""

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.checkpoint.reading import _build_pickles as p
from tests.checkpoint.reading._build_archives import (
    VALUES,
    replace_once,
    write_legacy,
    write_torch_zip,
    write_zip,
    zip_records,
)

Builder = Callable[[Path], Path]

# Module, name and arguments of calls that harm; each would leave a file named CANARY behind or
# stop the process if it ran.
CANARY = "canary"
_COMMAND = p.text(f"touch {CANARY}")
_CODE = p.text(f"open({CANARY!r}, 'w')")
CALLS: dict[str, tuple[str, str, tuple[bytes, ...]]] = {
    "os.system": ("os", "system", (_COMMAND,)),
    "posix.system": ("posix", "system", (_COMMAND,)),
    "nt.system": ("nt", "system", (_COMMAND,)),
    "os.popen": ("os", "popen", (_COMMAND,)),
    "subprocess.Popen": ("subprocess", "Popen", (b"]" + p.text("touch") + b"a",)),
    "subprocess.check_output": ("subprocess", "check_output", (_COMMAND,)),
    "builtins.eval": ("builtins", "eval", (_CODE,)),
    "builtins.exec": ("builtins", "exec", (_CODE,)),
    "__builtin__.eval": ("__builtin__", "eval", (_CODE,)),
    "builtins.open": ("builtins", "open", (p.text(CANARY), p.text("w"))),
    "io.FileIO": ("io", "FileIO", (p.text(CANARY), p.text("w"))),
    "_io.FileIO": ("_io", "FileIO", (p.text(CANARY), p.text("w"))),
    "logging.FileHandler": ("logging", "FileHandler", (p.text(CANARY),)),
    "pathlib.Path.touch": ("pathlib", "Path.touch", (p.text(CANARY),)),
    "sys.exit": ("sys", "exit", (p.number(3),)),
    "os._exit": ("os", "_exit", (p.number(3),)),
    "os.abort": ("os", "abort", ()),
    "builtins.breakpoint": ("builtins", "breakpoint", ()),
    "builtins.input": ("builtins", "input", ()),
    "runpy": ("runpy", "run_path", (p.text("evil.py"),)),
    "pty.spawn": ("pty", "spawn", (_COMMAND,)),
    "ctypes": ("ctypes", "CDLL", (p.text("libc.so.6"),)),
    "importlib": ("importlib", "import_module", (p.text("wave"),)),
    "pkgutil.resolve_name": ("pkgutil", "resolve_name", (p.text("os:system"),)),
    "operator.attrgetter": ("operator", "attrgetter", (p.text("system"),)),
    "marshal.loads": ("marshal", "loads", (b"C\x01N",)),
    "types.CodeType": ("types", "CodeType", ()),
    "timeit.timeit": ("timeit", "timeit", (_CODE,)),
    "cProfile.run": ("cProfile", "run", (_CODE,)),
    "pdb.run": ("pdb", "run", (_CODE,)),
    "doctest": ("doctest", "debug_script", (_CODE,)),
    "code.interact": ("code", "interact", ()),
    "pydoc.pipepager": ("pydoc", "pipepager", (p.text("x"), _COMMAND)),
    "pip.main": ("pip", "main", (b"]" + p.text("install") + b"a",)),
    "webbrowser.open": ("webbrowser", "open", (p.text("http://127.0.0.1"),)),
    "socket": ("socket", "create_connection", (p.pair_of(p.text("127.0.0.1"), p.number(9)),)),
    "urllib": ("urllib.request", "urlopen", (p.text("http://127.0.0.1:9/"),)),
    "shutil.rmtree": ("shutil", "rmtree", (p.text(CANARY),)),
    "asyncio": ("asyncio", "create_subprocess_shell", (_COMMAND,)),
    "multiprocessing": ("multiprocessing", "Process", ()),
    "nested pickle": ("pickle", "loads", (b"C\x04N.N.",)),
    "torch.load": ("torch", "load", (p.text("other.pth"),)),
    "dotted torch": ("torch", "serialization.os.system", (_COMMAND,)),
    "torch inductor": ("torch._inductor.codecache", "compile_file", (p.text(CANARY),)),
    "torch collect_env": ("torch.utils.collect_env", "run", (_COMMAND,)),
    "torch jit": ("torch.jit.unsupported_tensor_ops", "execWrapper", (_CODE, b"}", b"}")),
    "numpy runstring": ("numpy.testing._private.utils", "runstring", (_CODE, b"}")),
    "numpy f2py": ("numpy.f2py.crackfortran", "myeval", (_CODE,)),
    "numpy.load": ("numpy", "load", (p.text("other.npy"),)),
    "sys.modules": ("sys", "modules.clear", ()),
    "module of the reader": ("rtdetr_nb.checkpoint.checkpoint", "open_checkpoint", (p.text("/"),)),
    "unknown module": ("evil_module_that_is_missing", "run", ()),
}


def beside_a_tensor(body: bytes) -> bytes:
    """A pickle of a dict with a tensor, `body`, and another tensor."""
    return p.program(p.dict_of({"before": p.tensor(), "evil": body, "after": p.tensor()}))


def _torch(body: bytes) -> Builder:
    return lambda path: write_torch_zip(path, p.program(body))


def _bare(data: bytes) -> Builder:
    def build(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return build


def _edited(old: bytes, new: bytes, start: bytes = b"") -> Builder:
    """A sound file of torch.save in which `old`, after `start`, became `new`."""

    def build(path: Path) -> Path:
        write_torch_zip(path, p.program(p.dict_of({"x": p.tensor()})))
        return replace_once(path, old, new, path.read_bytes().index(start))

    return build


def _zip(extra: dict[str, bytes]) -> Builder:
    body = p.program(p.dict_of({"x": p.tensor()}))
    return lambda path: write_zip(path, {**zip_records(body), **extra})


def _flagged(flag: int) -> Builder:
    """A file of torch.save whose first record has `flag` set in the table."""

    def build(path: Path) -> Path:
        data = bytearray(write_torch_zip(path, p.program(p.tensor())).read_bytes())
        struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 8, flag)
        path.write_bytes(data)
        return path

    return build


def _duplicate(path: Path) -> Path:
    """Two descriptions: a scanner that takes the first sees the harmless one."""
    records = zip_records(p.program(p.dict_of({"x": p.tensor()})))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, data)
        evil = p.program(p.calls("os", "system", _COMMAND)["GLOBAL REDUCE"])
        archive.writestr("archive/data.pkL", evil)
    data = path.read_bytes().replace(b"archive/data.pkL", b"archive/data.pkl")
    path.write_bytes(data)
    return path


def _bomb(path: Path) -> Path:
    """500 MB of description in half a megabyte."""
    records = zip_records(p.program(b"N" + b"N0" * 250_000_000))
    return write_zip(path, records, zipfile.ZIP_DEFLATED)


def _inflated_lie(path: Path) -> Path:
    """A compressed record that grows to more than the table says."""
    data = p.program(p.dict_of({"x": p.tensor()}))
    write_zip(path, zip_records(data), zipfile.ZIP_DEFLATED)
    sizes = struct.pack("<L", len(data))
    return replace_once(path, sizes, struct.pack("<L", 20), path.read_bytes().index(b"PK\x01\x02"))


def _prefixed(path: Path) -> Path:
    """An archive behind the header of another: which of the two is it?"""
    write_torch_zip(path, p.program(p.dict_of({"x": p.tensor()})))
    path.write_bytes(b"PK\x03\x04" + bytes(60) + path.read_bytes())
    return path


def _appended(path: Path) -> Path:
    write_torch_zip(path, p.program(p.dict_of({"x": p.tensor()})))
    path.write_bytes(path.read_bytes() + b"more")
    return path


def _sparse(path: Path) -> Path:
    """A view of two numbers, one at each end of a storage of 8 GB that is all hole."""
    data = p.program(p.dict_of({"x": np_like_storage()}))
    path.write_bytes(data)
    os.truncate(path, 9 << 30)
    return path


def np_like_storage() -> bytes:
    """An array of numpy whose bytes are announced as 8 GB."""
    dtype = p.global_of("numpy", "dtype") + p.tuple_of(p.text("u1"), b"\x89", b"\x88") + b"R"
    dtype += p.tuple_of(b"K\x03", p.text("|"), *[b"N"] * 3, *[b"J\xff\xff\xff\xff"] * 2, b"K\x00")
    dtype += b"b"
    made = p.global_of("numpy.core.multiarray", "_reconstruct")
    made += p.tuple_of(p.global_of("numpy", "ndarray"), b"K\x00\x85", b"C\x01b") + b"R"
    size = 8 << 30
    state = p.tuple_of(
        b"K\x01", p.number(size) + b"\x85", dtype, b"\x89", b"\x8e" + struct.pack("<Q", size)
    )
    return made + state[:-1]  # the payload follows; the tuple and the rest never come


def _safetensors(header: object, data: bytes = VALUES, size: int | None = None) -> Builder:
    def build(path: Path) -> Path:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)
        return path

    return build


def _entry(start: int = 0, stop: int = 16, shape: object = (4,), dtype: str = "F32") -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def _index(weight_map: object) -> Builder:
    def build(path: Path) -> Path:
        path.write_text(json.dumps({"weight_map": weight_map}))
        return path

    return build


def _laughs(container: bytes, levels: int) -> bytes:
    """Each level holds the one before twice: 2 ** levels entries in a few bytes."""
    body = container
    for level in range(levels):
        body += b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86"
    return body


def _dict_laughs(levels: int) -> bytes:
    body = p.dict_of({"t": p.tensor()}) + b"q\x00"
    for level in range(levels):
        previous = b"h" + bytes([level])
        body += p.dict_of({"a": previous, "b": previous}) + b"q" + bytes([level + 1])
    return body


def _many_names(count: int, length: int) -> bytes:
    """Every pair of `count` names of modules and `count` names of classes."""
    body = b"".join(
        p.text(str(k).ljust(length, "x")) + b"r" + struct.pack("<I", k) + b"0" for k in range(count)
    )
    get = [b"j" + struct.pack("<I", k) for k in range(count)]
    pairs = (module + name + b"\x93" for module in get[: count // 2] for name in get)
    return body + b"](" + b"".join(pairs) + b"e"


def _many_tensors(count: int) -> bytes:
    """One tensor under many long keys."""
    shared = p.text("x" * 190) + b"q\x01" + p.tensor() + b"q\x00"
    inner = b"}(" + b"".join(p.number(k) + b"h\x00" for k in range(count)) + b"u"
    return b"(" + shared + b"}h\x01" + inner + b"st"


_DEEP = 200_000
_MANY = 1_000_000

REFUSED: dict[str, tuple[Builder, str]] = {
    # Archives that two programs could read differently.
    "two descriptions": (_duplicate, "two records named 'archive/data.pkl'"),
    "wrong checksum of the description": (_edited(b"cpu", b"cpv"), "checksum"),
    "wrong checksum of a tensor": (_edited(VALUES, VALUES[::-1]), "checksum"),
    "header names another record": (_edited(b"archive/data.pkl", b"archive/nope.pkl"), "header"),
    "two roots": (_zip({"other/data.pkl": b"\x80\x02N."}), "two checkpoints"),
    "no description": (lambda path: write_zip(path, {"archive/data/0": VALUES}), "interrupted"),
    "encrypted": (_flagged(0x1), "encrypted"),
    "encrypted patch": (_flagged(0x20), "encrypted"),
    "encrypted strongly": (_flagged(0x40), "encrypted"),
    "encrypted table": (_flagged(0x2000), "encrypted"),
    "unknown compression": (
        lambda path: write_zip(path, zip_records(p.program(b"N")), zipfile.ZIP_LZMA),
        "compressed in a way",
    ),
    "bomb of compressed opcodes": (_bomb, "would grow to"),
    "compressed record that is larger": (_inflated_lie, "size"),
    "something in front": (_prefixed, "does not stand where"),
    "something behind": (_appended, "goes on after the end"),
    # Tensors that lie.
    "storage is too short": (_torch(p.tensor(source=p.storage(numel=5))), "has 16 bytes"),
    "view outside of the storage": (_torch(p.tensor((5,))), "does not lie inside"),
    "offset outside of the storage": (_torch(p.tensor((1,), offset=4)), "does not lie inside"),
    "negative offset": (_torch(p.tensor((1,), offset=-1)), "does not lie inside"),
    "negative stride": (_torch(p.tensor((2,), (-1,), 1)), "does not lie inside"),
    "negative size": (_torch(p.tensor((-1,))), "does not lie inside"),
    "more strides than sizes": (_torch(p.tensor((2,), (1, 1))), "does not lie inside"),
    "sizes beyond all measure": (_torch(p.tensor((1 << 60,), (0,))), "does not lie inside"),
    "sizes that multiply": (_torch(p.tensor((1 << 20,) * 60, (0,) * 60)), "does not lie inside"),
    "storage beyond all measure": (_torch(p.tensor(source=p.storage(numel=1 << 60))), "any disk"),
    "sizes that are no numbers": (_torch(p.tensor().replace(b"(\x8a\x01\x04t", b"(Nt")), "inside"),
    "missing storage": (_torch(p.tensor(source=p.storage("7"))), "is missing"),
    "storage in another folder": (_torch(p.tensor(source=p.storage("../version"))), "is missing"),
    "strides of zero": (_torch(p.tensor((1 << 16, 1 << 14), (0, 0))), "bytes"),
    # Streams that want memory or time.
    "announces a tebibyte of bytes": (_torch(b"\x8e" + struct.pack("<Q", 1 << 40)), "truncated"),
    "announces a tebibyte of text": (_torch(b"\x8d" + struct.pack("<Q", 1 << 40)), "truncated"),
    "announces a tebibyte array": (_torch(b"\x96" + struct.pack("<Q", 1 << 40)), "truncated"),
    "announces 4 GB": (_torch(b"B\xff\xff\xff\xff"), "truncated"),
    "integer of 20 MB": (_torch(b"\x8b" + struct.pack("<i", 20 << 20) + bytes(20 << 20)), "takes"),
    "negative length": (_torch(b"\x8b\xff\xff\xff\xff"), "takes"),
    "endless line": (_torch(b"V" + b"a" * 100_000), "line"),
    "huge reference in text": (_torch(b"Np" + b"9" * 1000 + b"\n"), "too large"),
    "ten million opcodes": (_torch(b"N0" * 5_000_000), "instructions"),
    "billion laughs of tensors": (_torch(_dict_laughs(60)), "unfolds"),
    "two million dicts": (_torch(b"(" + b"}" * 1_999_000 + b"t"), "unfolds"),
    "two million sets": (_torch(b"(" + b"\x8f" * 1_999_000 + b"t"), "unfolds"),
    "two million marks": (_torch(b"(" * 1_999_000), "without a result"),
    "a million names": (_torch(_many_names(1000, 990)), "unfolds"),
    "a million tensors of one storage": (_torch(_many_tensors(250_000)), "longer than"),
    "a million places of one module": (
        _torch(
            p.global_of("a", "B") + b")R"
            + p.dict_of({"_parameters": b"}", "_buffers": b"}", "_modules": b"}"}) + b"bq\x000"
            + b"](" + b"h\x00" * 1_000_000 + b"e"
        ),
        "unfolds",
    ),
    "a million strings of one long name": (
        _torch(
            p.text("m" * 990) + b"q\x00" + p.text("n" * 990) + b"q\x01]("
            + b"h\x00h\x01\x93)\x81" * 350_000 + b"e"
        ),
        "unfolds",
    ),
    "a million arrays of one text": (
        _torch(
            p.global_of("_codecs", "encode") + b"q\x00" + p.text("a" * 16_000) + b"q\x01]("
            + b"h\x00h\x01\x85R" * 400_000 + b"e"
        ),
        "unfolds",
    ),
    "a name of 10,000 characters": (_torch(p.global_of("m" * 10_000, "n")), "too long"),
    # Streams that make no sense.
    "missing memo": (_torch(b"h\x05"), "does not exist"),
    "missing mark": (_torch(b"t"), "nothing to work on"),
    "empty stack": (_torch(b"R"), "nothing to work on"),
    "no result": (_torch(b""), "without a result"),
    "unknown opcode": (_torch(b"\xff"), "does not exist"),
    "future protocol": (lambda path: write_torch_zip(path, p.program(b"N", 9)), "protocol 9"),
    "class named by numbers": (_torch(b"K\x01K\x02\x93"), "not a text"),
    "entries into a list": (_torch(b"]" + p.text("a") + b"Ns"), "not a dict"),
    "elements into a dict": (_torch(b"}Na"), "not a list"),
    "odd entries": (_torch(b"}(Nu"), "not a dict"),
    "object without a class": (_torch(b"(o"), "no class"),
    "out-of-band buffer": (_torch(b"\x97"), "another file"),
    "code after the tensors, cut off": (
        lambda path: write_torch_zip(path, p.program(p.tensor())[:-1]),
        "truncated",
    ),
    "text persistent id": (_torch(b"Pstorage\n"), "protocol 0"),
    "byte order": (_zip({"archive/byteorder": b"middle"}), "byte order"),
    # Legacy files.
    "legacy: storage twice": (
        lambda path: write_legacy(path, p.program(p.tensor()), ("0", "0")),
        "twice",
    ),
    "legacy: storage missing": (
        lambda path: write_legacy(path, p.program(p.tensor(source=p.storage("1")))),
        "not described",
    ),
    "legacy: larger than the file": (
        lambda path: replace_once(
            write_legacy(path, p.program(p.tensor())),
            struct.pack("<q", 4) + VALUES,
            struct.pack("<q", 1 << 50) + VALUES,
        ),
        "truncated",
    ),
    "legacy: view of another part": (
        lambda path: write_legacy(path, p.program(p.tensor(source=p.storage(numel=9)))),
        "too small",
    ),
    "magic number made by a call": (
        _bare(p.program(p.calls("os", "system", _COMMAND)["INST"]) + p.program(b"M\xe9\x03")),
        "without any array",
    ),
    # Arrays of numpy.
    "array of 8 GB that is not there": (_bare(p.program(np_like_storage())), "truncated"),
    "array of 8 GB of hole": (_sparse, "does not exist"),
    # Safetensors.
    "safetensors: huge table": (_safetensors(b"{", size=1 << 62), "begins with"),
    "safetensors: table beyond the file": (_safetensors(b"{}", size=4000), "truncated"),
    "safetensors: no JSON": (_safetensors(b"{nope}"), "not valid JSON"),
    "safetensors: deep JSON": (_safetensors(b'{"a":' + b"[" * 100_000), "not valid JSON"),
    "safetensors: long number": (_safetensors(b'{"a":' + b"1" * 100_000 + b"}"), "not valid"),
    "safetensors: twice": (
        _safetensors(b'{"a":%b,"a":%b}' % ((json.dumps(_entry()).encode(),) * 2)),
        "twice",
    ),
    "safetensors: outside": (_safetensors({"a": _entry(0, 32, (8,))}), "truncated"),
    "safetensors: negative": (_safetensors({"a": _entry(-4, 12)}), "whole numbers"),
    "safetensors: sizes lie": (_safetensors({"a": _entry(shape=(1 << 40,))}), "do not fill"),
    "safetensors: overlap": (
        _safetensors({"a": _entry(), "b": _entry(8, 16, (2,))}),
        "overlap",
    ),
    "safetensors: hole": (_safetensors({"a": _entry(4, 16, (3,))}), "holes"),
    "safetensors: type": (_safetensors({"a": _entry(dtype="F31")}), "type 'F31', which is not"),
    "safetensors: a million axes": (
        _safetensors({"a": _entry(shape=[1 << 40] * 500_000)}),
        "whole numbers",
    ),
    "safetensors: bool as size": (_safetensors({"a": _entry(shape=(True,))}), "whole numbers"),
    # Indexes that reach out of their folder.
    "index: other folder": (_index({"a": "../secret.safetensors"}), "not a file beside"),
    "index: absolute": (_index({"a": "/etc/passwd"}), "not a file beside"),
    "index: missing": (_index({"a": "missing.safetensors"}), "is missing"),
    "index: empty": (_index({}), "no weight_map"),
}  # fmt: skip
"""What is refused: how to build it, and a part of the sentence."""

HARMLESS: dict[str, Builder] = {
    "tuple laughs": _torch(_laughs(b"N", 200)),
    "dict that holds itself": _torch(b"}q\x00" + p.text("me") + b"h\x00s"),
    "list that holds itself": _torch(b"]q\x00h\x00a"),
    "deep lists": _torch(b"]" * _DEEP + b"a" * (_DEEP - 1)),
    "deep tuples": _torch(b"N" + b"\x85" * _DEEP),
    "deep calls": _torch(p.global_of("a", "b") + b")R" + b")R" * _DEEP),
    "deep states": _torch((p.global_of("a", "b") + b")R") * 50_000 + b"b" * 49_999),
    "far memo": _torch(b"Nr\xf0\xff\xff\xff"),
    "many pushes": _torch(b"N" + b"2" * _MANY),
    "many empty dicts": _torch(b"(" + b"}" * _MANY + b"t0N"),
    "keys with one hash": _torch(
        b"}(" + b"".join(p.number(k * ((1 << 61) - 1)) + b"N" for k in range(100_000)) + b"u"
    ),
    "tuple keys": _torch(b"}(" + (_laughs(b"N", 100) + b"N") * 100 + b"u"),
    "frame that lies": _torch(b"\x95" + struct.pack("<Q", 1 << 60) + b"N"),
    "extension registry": _torch(b"\x82\x05" + b")R"),
    "build on a number": _torch(b"K\x01}b"),
    "keys with escapes": _torch(p.dict_of({"\x1b[31m<script>\ud800": p.tensor()})),
    "opcodes after the end": _torch(b"N." + p.calls("os", "system", _COMMAND)["INST"]),
    "legacy: code behind the storages": lambda path: write_legacy(
        path, p.program(p.tensor()), tail=p.program(p.calls("os", "system", _COMMAND)["INST"])
    ),
}
"""What is opened, because nothing in it can do harm to a reader that runs nothing."""


def unpickle_call(name: str) -> bytes:
    """The plain pickle of one of `CALLS`."""
    module, function, arguments = CALLS[name]
    return p.program(p.calls(module, function, *arguments)["GLOBAL REDUCE"])
