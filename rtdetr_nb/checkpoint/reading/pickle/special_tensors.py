"""Tensors that torch pickles otherwise than as a view of a storage.

Those of accelerators, sparse ones and distributed ones that are whole are read. Those without
values, of which a part is in the file, or which only their library understands keep their name and
shape, and say why they cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from rtdetr_nb.checkpoint.reading.computed import SparseStorage
from rtdetr_nb.checkpoint.reading.pickle.call_parts import attributes_of
from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global
from rtdetr_nb.checkpoint.reading.pickle.torch_objects import PARAMETERS, TYPED, read_sizes
from rtdetr_nb.checkpoint.reading.tensor_info import ITEM_SIZES, TensorInfo

_LONGEST_WRAPPING = 4
_FROM_HOST = re.compile(r"_rebuild_(device|xla|npu|hpu|mlu|mtia|ort)_tensor(_from_\w+)?$")
_QUANTISED = re.compile(r"torchao|quant|bitsandbytes|4bit|int[48]|[aw]q[tl]", re.IGNORECASE)
_BEFORE = "take the file from before the quantisation"

Build = Callable[[object], object]
"""Describes a part of the pickle: a tensor of it as a `TensorInfo`."""


def read_special(
    call: Call, path: str, kind: str, build: Build, wrapping: int = 0
) -> TensorInfo | None:
    """Describe the tensor that a call would make; None if it is no tensor of a known sort.

    Args:
        call: the call, as the pickle reader wrote it down.
        path: dotted path of the tensor in the file.
        kind: what the parent says it is.
        build: describes the parts that it is made of.
        wrapping: how many calls stand around this one.
    """
    name = call.function.path if type(call.function) is Global else ""
    arguments = call.arguments if type(call.arguments) is tuple else ()
    if not arguments or wrapping > _LONGEST_WRAPPING:
        return None
    if name in PARAMETERS and type(arguments[0]) is Call:
        kind = "parameter" if kind == "tensor" else kind
        return read_special(arguments[0], path, kind, build, wrapping + 1)
    if name in TYPED and len(arguments) > 3 and type(arguments[0]) is Global:
        if arguments[0].path.endswith("._rebuild_wrapper_subclass"):
            return _read_subclass(arguments, path, kind, build)
        return read_special(Call(arguments[0], arguments[2]), path, kind, build, wrapping + 1)
    return _read_by_function(name, arguments, path, kind, build)


def _read_by_function(
    name: str, arguments: tuple[object, ...], path: str, kind: str, build: Build
) -> TensorInfo | None:
    if name == "torch._utils._rebuild_sparse_tensor" and len(arguments) == 2:
        return _read_sparse(arguments, path, kind, build)
    if name == "torch._utils._rebuild_meta_tensor_no_storage" and len(arguments) > 1:
        why = "has no values (it was on the device meta): save it after the weights were loaded"
        return _lacking(path, kind, arguments[1], arguments[0], why)
    if name == "torch._utils._rebuild_qtensor" and len(arguments) > 2:
        return _lacking(path, kind, arguments[2], None, f"is quantised by torch: {_BEFORE}")
    if _FROM_HOST.search(name):
        return _read_device(arguments, path, kind, build)
    return None


def _read_device(
    arguments: tuple[object, ...], path: str, kind: str, build: Build
) -> TensorInfo | None:
    """A tensor of an accelerator: its values lie in the file as an array or a tensor."""
    if type(arguments[0]) is Call:
        found = build(arguments[0])
    elif len(arguments) > 3:  # storage, offset, sizes, strides
        found = build(Call(Global("torch._utils", "_rebuild_tensor"), arguments[:4]))
    else:
        return None
    return replace(found, key=path, kind=kind) if isinstance(found, TensorInfo) else None


def _read_sparse(
    arguments: tuple[object, ...], path: str, kind: str, build: Build
) -> TensorInfo | None:
    layout, data = _layout(arguments[0]), arguments[1]
    if type(data) is not tuple:
        return None
    parts = [build(part) for part in data if type(part) is Call]
    tensors = [part for part in parts if isinstance(part, TensorInfo)]
    sizes = [read_sizes(part) for part in data if not isinstance(build(part), TensorInfo)]
    shape = next((size for size in sizes if size != (-1,)), None)
    if shape is None or len(tensors) < 2:
        return None
    values = tensors[-1]
    storage = SparseStorage(shape, layout, values.dtype, tuple(tensors))
    note = f"stored as {layout or 'a sparse tensor'}, unfolded"
    if not storage.is_sound():
        return _lacking(path, kind, shape, None, f"is a sparse tensor of the layout {layout!r}")
    return TensorInfo(path, shape, values.dtype, kind, storage, note=note)


def _layout(node: object) -> str:
    """The layout of a sparse tensor, which is pickled as `_get_layout("torch.sparse_coo")`."""
    if type(node) is Call and type(node.arguments) is tuple and node.arguments:
        node = node.arguments[0]
    return node.removeprefix("torch.") if type(node) is str else ""


def _read_subclass(
    arguments: tuple[object, ...], path: str, kind: str, build: Build
) -> TensorInfo | None:
    """A tensor that wraps others: one of a library, or one that is spread over processes."""
    _, cls, made_from, state = arguments[:4]
    if type(cls) is not Global or type(made_from) is not tuple or len(made_from) < 3:
        return None
    shape, dtype = made_from[2], made_from[1]
    if cls.name == "DTensor":
        return _read_distributed(attributes_of(state), shape, dtype, path, kind, build)
    if _QUANTISED.search(cls.path):
        library = cls.path.partition(".")[0]
        return _lacking(path, kind, shape, dtype, f"is quantised by {library}: {_BEFORE}")
    why = f"is a {cls.path}, which only its library can read: save it as a plain tensor"
    return _lacking(path, kind, shape, dtype, why)


def _read_distributed(
    state: Mapping[object, object],
    shape: object,
    dtype: object,
    path: str,
    kind: str,
    build: Build,
) -> TensorInfo:
    local = build(state.get("_local_tensor"))
    whole = read_sizes(shape)
    if isinstance(local, TensorInfo) and local.shape == whole:
        note = "a DTensor that this process held whole"
        return replace(local, key=path, kind=kind, note=note)
    held = f", {list(local.shape)} of {list(whole)}" if isinstance(local, TensorInfo) else ""
    why = (
        f"is one process's share of a DTensor{held}: gather it with "
        "torch.distributed.checkpoint.state_dict.get_model_state_dict and full_state_dict=True"
    )
    return _lacking(path, kind, shape, dtype, why)


def _lacking(path: str, kind: str, shape: object, dtype: object, why: str) -> TensorInfo:
    sizes = shape if type(shape) is tuple else read_sizes(shape)
    sizes = read_sizes(sizes)
    named = dtype.name if type(dtype) is Global and dtype.name in ITEM_SIZES else "float32"
    return TensorInfo(path, () if sizes == (-1,) else sizes, named, kind, lacking=why)
