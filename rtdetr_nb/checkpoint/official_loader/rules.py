"""The rules of the official loader of tuning files.

`load_tuning_state` of the official solver looks for a key `ema` and takes `['ema']['module']`,
else `['model']`. It loads the tensors of the same name and shape, and prints two lists: names that
the file lacks ("missed") and names of other shapes ("unmatched"). It does not list unused keys of
the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtdetr_nb.checkpoint.reading.tensor_info import ModuleInfo, TensorInfo


class OfficialError(Exception):
    """An exception that the official code would raise.

    Attributes:
        kind: the name of its class.
        message: what it says.
        summary: both in a few words.
    """

    def __init__(self, kind: str, message: str, summary: str = "") -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.summary = summary or f"{kind}: {message}"


@dataclass(frozen=True)
class OfficialMatch:
    """What the official loader does with one state dict: names by what happens to them."""

    loaded: tuple[str, ...]
    missed: tuple[str, ...]
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def log_line(self) -> str:
        """The line that the official code prints."""
        infos = {"missed": list(self.missed), "unmatched": list(self.unmatched)}
        return f"Load model.state_dict, {infos}"


def official_state_dict(
    tree: object, modules: Mapping[str, ModuleInfo]
) -> tuple[str, Mapping[Any, Any]]:
    """Return the dict that the official code takes, and where it stands in the file.

    Args:
        tree: everything in the file, as `Checkpoint.tree` holds it.
        modules: the pickled modules by their paths.

    Raises:
        OfficialError: the official code would raise the exception that this names.
    """
    classes = {key: module.class_name.rpartition(".")[2] for key, module in modules.items()}
    if "" in classes:
        raise OfficialError("TypeError", f"argument of type '{classes['']}' is not iterable")
    if not isinstance(tree, Mapping):
        raise _subscript_error(tree, "model")
    if "ema" not in tree:
        if "model" not in tree:
            raise OfficialError("KeyError", "'model'")
        return "model", _as_dict(tree["model"], "model", classes)
    ema = tree["ema"]
    if "ema" in classes:
        raise OfficialError("TypeError", f"'{classes['ema']}' object is not subscriptable")
    if not isinstance(ema, Mapping):
        raise _subscript_error(ema, "module")
    if "module" not in ema:
        raise OfficialError("KeyError", "'module'")
    return "ema.module", _as_dict(ema["module"], "ema.module", classes)


def match_officially(
    model: Mapping[str, tuple[int, ...]], params: Mapping[Any, Any]
) -> OfficialMatch:
    """Match a model's names and shapes with a file's state dict, as the official code does.

    Raises:
        OfficialError: a value of a wanted name is no tensor.
    """
    loaded, missed, unmatched = [], [], []
    for key, shape in model.items():
        if key not in params:
            missed.append(key)
        elif not hasattr(params[key], "shape"):
            kind = type(params[key]).__name__
            raise OfficialError("AttributeError", f"'{kind}' object has no attribute 'shape'")
        elif tuple(params[key].shape) == tuple(shape):
            loaded.append(key)
        else:
            unmatched.append(key)
    unused = [str(key) for key in params if key not in model]
    return OfficialMatch(tuple(loaded), tuple(missed), tuple(unmatched), tuple(unused))


def _as_dict(value: Any, where: str, classes: Mapping[str, str]) -> Mapping[Any, Any]:
    if where in classes:
        raise OfficialError("TypeError", f"argument of type '{classes[where]}' is not iterable")
    if value is None or isinstance(value, bool | int | float | TensorInfo):
        raise OfficialError("TypeError", f"argument of type '{_class_name(value)}' is not iterable")
    # A list or a string can be searched too: no name of the model is in it.
    return value if isinstance(value, Mapping) else {}


def _subscript_error(value: Any, key: str) -> OfficialError:
    name = _class_name(value)
    if isinstance(value, list | tuple):
        message = f"{name} indices must be integers or slices, not str"
        return OfficialError("TypeError", message)
    if isinstance(value, TensorInfo):
        return OfficialError("IndexError", "too many indices for tensor of dimension 0")
    return OfficialError("TypeError", f"'{name}' object is not subscriptable")


def _class_name(value: Any) -> str:
    return "Tensor" if isinstance(value, TensorInfo) else type(value).__name__
