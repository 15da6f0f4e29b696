"""The tree of a checkpoint, and the dotted paths of the tensors in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from rtdetr_nb.checkpoint.reading.tensor_info import Opaque, TensorInfo
from rtdetr_nb.errors import CheckpointError

LONGEST_KEY = 200
"""Characters of a key; what is longer is shortened in paths."""
MAXIMUM_CHARACTERS = 1 << 25
"""Characters of all paths of tensors together; 3,600 tensors have about 200,000."""


def join_path(path: str, key: object) -> str:
    """The dotted path of the entry `key` of what stands at `path`."""
    name = key if type(key) is str else repr(key)
    if len(name) > LONGEST_KEY:
        name = f"{name[: LONGEST_KEY - 3]}..."
    return f"{path}.{name}" if path else name


def list_tensors(tree: object) -> dict[str, TensorInfo]:
    """List the tensors of a tree in the order of the file, under their dotted paths.

    Raises:
        CheckpointError: The paths are longer than those of any checkpoint.
    """
    if type(tree) is TensorInfo:
        return {"": tree}
    tensors: dict[str, TensorInfo] = {}
    repeats: dict[str, int] = {}
    characters = 0
    levels = [("", iter(_entries(tree)))]
    while levels:
        path, entries = levels[-1]
        for key, value in entries:
            if type(value) is TensorInfo:
                name = _unused(join_path(path, key), tensors, repeats)
                tensors[name] = value if value.key == name else replace(value, key=name)
                characters += len(name)
                if characters > MAXIMUM_CHARACTERS:
                    raise CheckpointError(
                        "The names of its tensors are longer than those of any checkpoint, as in "
                        "files that are made to exhaust memory. Do not trust where it comes from."
                    )
            elif type(value) in _CONTAINERS:
                levels.append((join_path(path, key), iter(_entries(value))))
                break
        else:
            levels.pop()
    return tensors


_CONTAINERS = (dict, list, tuple, Opaque)


def _entries(node: object) -> Iterable[tuple[object, object]]:
    if isinstance(node, Opaque):
        return chain(
            enumerate(node.arguments),
            node.attributes.items(),
            node.items.items(),
            enumerate(node.elements),
        )
    if isinstance(node, dict):
        return node.items()
    if isinstance(node, (list, tuple)):
        return _named_pairs(node) or enumerate(node)
    return ()


def _named_pairs(node: list[object] | tuple[object, ...]) -> list[tuple[object, object]]:
    """The pairs of `list(model.named_parameters())`; [] if it is any other list."""
    if not all(isinstance(each, (list, tuple)) and len(each) == 2 for each in node):
        return []
    pairs: list[tuple[object, object]] = [(each[0], each[1]) for each in node]  # type: ignore[index]
    names = {name for name, _ in pairs if type(name) is str and name}
    if len(names) < len(pairs) or not all(type(value) is TensorInfo for _, value in pairs):
        return []
    return [(name, _from_pairs(value)) for name, value in pairs]


def _from_pairs(value: object) -> object:
    assert isinstance(value, TensorInfo)
    return replace(value, note=value.note or "named in a list of pairs of names and tensors")


def _unused(path: str, tensors: dict[str, TensorInfo], repeats: dict[str, int]) -> str:
    """`path`, or with a number if it is taken: {"a.b": x, "a": {"b": y}} gives `a.b`, `a.b~2`."""
    name = path
    while name in tensors:
        repeats[path] = repeats.get(path, 1) + 1
        name = f"{path}~{repeats[path]}"
    return name
