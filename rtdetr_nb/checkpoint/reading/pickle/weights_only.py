"""What `torch.load(weights_only=True)`, the default since torch 2.6, refuses in a pickle."""

from __future__ import annotations

import re
from collections.abc import Iterable

_OLD_STYLE = 4
"""The first protocol whose instructions it does not know; torch.save writes protocol 2."""

_ALLOWED = frozenset(
    {
        "_codecs.encode", "builtins.bytearray", "builtins.complex", "builtins.set",
        "collections.Counter", "collections.OrderedDict", "torch.Size", "torch.Tensor",
        "torch.device", "torch.nn.parameter.Parameter", "torch.serialization._get_layout",
        "torch._tensor._rebuild_from_type_v2",
    }
)  # fmt: skip
_ALLOWED_KINDS = re.compile(
    r"torch\.(?:"
    r"_utils\._rebuild_(?:tensor(?:_v[23])?|parameter(?:_with_state)?|qtensor|sparse_tensor"
    r"|nested_tensor|wrapper_subclass|meta_tensor_no_storage|device_tensor_from_\w+)"
    r"|(?:cuda\.|sparse\.|cuda\.sparse\.)?[A-Z]\w*(?:Tensor|Storage)"
    r"|storage\.(?:Typed|Untyped)Storage"
    r"|b?(?:float|complex|q?u?int|bits)\d\w*|bool|per_(?:tensor|channel)_\w+"
    r")"
)


def is_allowed(name: str) -> bool:
    """Whether torch makes an object of this class without being told that it may."""
    return name in _ALLOWED or _ALLOWED_KINDS.fullmatch(name) is not None


def refusal(names: Iterable[str], protocol: int) -> str:
    """Return the first thing in a pickle that torch refuses, or "" if there is none.

    Args:
        names: the classes and functions that the pickle names, in its order.
        protocol: the pickle's.
    """
    if protocol >= _OLD_STYLE:
        return "Unsupported operand 149"
    foreign = next((name for name in names if not is_allowed(name)), None)
    return f"Unsupported global: GLOBAL {foreign}" if foreign else ""
