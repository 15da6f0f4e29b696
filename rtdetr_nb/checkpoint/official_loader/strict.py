"""The rules of a strict `load_state_dict`: the official `-r` and `HGNetv2.pretrained` load so.

Every name of the module has to be in the file with its shape, and no other. PyTorch stops with a
`RuntimeError` that lists what is missing, what is unexpected, and which shapes differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtdetr_nb.architecture.key_info import BATCH_COUNTER
from rtdetr_nb.checkpoint.official_loader.rules import OfficialError, OfficialMatch

_COUNTING_VERSION = 2
"""Norms of this version save their batch counter; it may be missing from older state dicts."""


def load_strictly(shapes: Mapping[str, tuple[int, ...]], params: Any, module: str) -> OfficialMatch:
    """Match a module's names and shapes with a state dict, as `load_state_dict` does.

    Args:
        shapes: the module's tensors by name.
        params: what is given as the state dict, with tensors or with anything that has a shape.
        module: the name of the module's class, for the message.

    Raises:
        OfficialError: the exception that ends the loading.
    """
    _check_names(params)
    metadata = getattr(params, "_metadata", None)
    missing = [key for key in shapes if key not in params and not _is_made_up(key, metadata)]
    unexpected = [key for key in params if key not in shapes and not _is_dropped(key, shapes)]
    wrong, loaded = [], []
    for key in shapes:
        if key in params:
            problem = _problem(key, shapes[key], params[key])
            wrong += [problem] if problem else []
            loaded += [] if problem else [key]
    if missing or unexpected or wrong:
        raise OfficialError(
            "RuntimeError",
            _message(module, missing, unexpected, wrong),
            _summary(missing, unexpected, wrong),
        )
    unused = tuple(key for key in params if key not in shapes)
    return OfficialMatch(tuple(loaded), (), (), unused)


def _check_names(params: Any) -> None:
    if not isinstance(params, Mapping):
        found = f"<class '{_class_path(params)}'>"
        raise OfficialError("TypeError", f"Expected state_dict to be dict-like, got {found}.")
    for key in params:
        if not isinstance(key, str):
            kind = type(key).__name__
            raise OfficialError("AttributeError", f"'{kind}' object has no attribute 'startswith'")


def _class_path(value: Any) -> str:
    kind = type(value)
    if kind.__name__ == "TensorInfo":
        return "torch.Tensor"
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _is_made_up(key: str, metadata: Mapping[str, Any] | None) -> bool:
    """Whether a norm begins with a counter of 0 where the file has none."""
    module, _, leaf = key.rpartition(".")
    version = ((metadata or {}).get(module) or {}).get("version")
    return leaf == BATCH_COUNTER and (version is None or version < _COUNTING_VERSION)


def _is_dropped(key: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether it is the counter of a norm that is frozen in the model, which forgets it."""
    norm, _, leaf = key.rpartition(".")
    return leaf == BATCH_COUNTER and f"{norm}.running_mean" in shapes


def _problem(key: str, shape: tuple[int, ...], value: Any) -> str:
    found = getattr(value, "shape", None)
    if found is None:
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(value)}"
        )
    # A scalar of very old files has one axis.
    if tuple(found) == tuple(shape) or (not shape and len(found) == 1):
        return ""
    return (
        f"size mismatch for {key}: copying a param with shape torch.Size({list(found)}) from "
        f"checkpoint, the shape in current model is torch.Size({list(shape)})."
    )


def _message(module: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> str:
    listed = [
        f"{word} key(s) in state_dict: {_quoted(keys)}. "
        for word, keys in (("Missing", missing), ("Unexpected", unexpected))
        if keys
    ]
    return f"Error(s) in loading state_dict for {module}:\n\t" + "\n\t".join([*listed, *wrong])


def _quoted(keys: Iterable[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _summary(missing: list[str], unexpected: list[str], wrong: list[str]) -> str:
    counts = ((len(missing), "missing"), (len(unexpected), "unexpected"))
    parts = [f"{count:,} {word}" for count, word in counts if count]
    parts += [f"{len(wrong):,} of another shape"] if wrong else []
    return f"RuntimeError: {', '.join(parts)}"
