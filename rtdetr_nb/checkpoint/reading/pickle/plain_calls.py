"""Calls whose result is a plain value: bytes, complex numbers, numbers of numpy."""

from __future__ import annotations

from collections.abc import Callable

from rtdetr_nb.checkpoint.reading.pickle.numpy_objects import read_scalar, unwrap_bytes
from rtdetr_nb.checkpoint.reading.storage import latin1_bytes

_BYTES = frozenset({"_codecs.encode", "builtins.bytes", "builtins.bytearray"})


def read_plain(
    name: str, arguments: tuple[object, ...], spend: Callable[[int, int], None]
) -> object:
    """Return the plain value that a call of `name` would give; None for any other.

    Args:
        name: what would be called.
        arguments: with what.
        spend: counts entries and characters before they are made.
    """
    first = unwrap_bytes(arguments[0]) if arguments else b""
    if name in _BYTES and type(first) is str:
        spend(0, len(first))
        return latin1_bytes(first)
    if name in _BYTES and type(first) is bytes:
        return first
    if name == "builtins.complex":
        return _read_complex(arguments)
    return read_scalar(name, arguments)


def _read_complex(arguments: tuple[object, ...]) -> complex | None:
    """The complex number of two parts; None for anything but two numbers."""
    if len(arguments) != 2:
        return None
    real, imaginary = arguments
    if isinstance(real, float) and isinstance(imaginary, float):
        return complex(real, imaginary)
    return None
