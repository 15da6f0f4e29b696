"""What a checkpoint says about itself: tensors, modules, and inert descriptions of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.reading.storage import Storage

ITEM_SIZES: Mapping[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "complex128": 16,
    "complex64": 8,
    "complex32": 4,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
}
"""Bytes of one element, by the name of the dtype (torch's name without `torch.`)."""


MAXIMUM_DIMENSIONS = 64
"""Axes of a tensor, as torch and numpy limit them."""
LARGEST_SIZE = 1 << 48
"""Elements of a tensor or a storage; more than any disk holds."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor in a file: its name, shape and type; the values stay in the file until asked for.

    Attributes:
        key: Dotted path from the root of the file, e.g. `ema.module.backbone.stem.stem1.bn.bias`.
        shape: Sizes of the axes; `()` for a scalar.
        dtype: Name of the element type, one of `ITEM_SIZES`.
        kind: `parameter` or `buffer` where the file says which it is, `tensor` where it does not.
        note: How its values come about, where they do not lie in the file as they are.
        lacking: Why its values cannot be read, as the end of a sentence that begins with its name;
            "" for nearly all.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    kind: str = "tensor"
    _storage: Storage | None = field(default=None, repr=False, compare=False)
    _offset: int = field(default=0, repr=False, compare=False)
    """First element, counted in elements of `dtype` from the start of the storage."""
    _stride: tuple[int, ...] | None = field(default=None, repr=False, compare=False)
    """Step of each axis in elements; None for a contiguous tensor."""
    _big_endian: bool = field(default=False, repr=False, compare=False)
    note: str = field(default="", repr=False, compare=False)
    lacking: str = field(default="", repr=False, compare=False)

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor's elements fill once they are laid out one after the other."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """A pickled `nn.Module`, of which only names and plain values are known.

    Attributes:
        key: Dotted path from the root of the file; empty when the file is the module.
        class_name: Name of its class, as the file spells it.
        attributes: The module's attributes that are neither tensors nor modules: `{"eps": 1e-3}`.
    """

    key: str
    class_name: str
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Opaque:
    """An object of a class that is not known here: what the file says about it, and no more.

    Attributes:
        class_name: Class or function that the file names. It was not imported and not called.
        arguments: What the file would have passed to it.
        attributes: The object's state: by name where the file gives names, else under `state`.
        items: Key and value pairs, for an object that behaves like a dict.
        elements: Elements, for an object that behaves like a list or a set.
    """

    class_name: str
    arguments: tuple[object, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    items: Mapping[object, object] = field(default_factory=dict)
    elements: tuple[object, ...] = ()

    def __repr__(self) -> str:
        parts = [repr(value) for value in self.arguments]
        parts += [f"{name}={value!r}" for name, value in self.attributes.items()]
        if self.items:
            parts.append(repr(dict(self.items)))
        if self.elements:
            parts.append(repr(list(self.elements)))
        return f"<{self.class_name}({', '.join(parts)})>" if parts else f"<{self.class_name}>"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a container holds, as its reader found it.

    Attributes:
        container: Sort of file, e.g. `torch zip`.
        tree: Everything in the file; see `Checkpoint.tree`.
        tensors: The tensors of the tree, by key.
        modules: The pickled modules, by key.
        files: All files that belong to it; the one that was opened comes first.
        refusal: What `torch.load(weights_only=True)` refuses in its pickle; "" for nothing.
    """

    container: str
    tree: object
    tensors: Mapping[str, TensorInfo]
    modules: Mapping[str, ModuleInfo]
    files: tuple[Path, ...]
    refusal: str = ""
