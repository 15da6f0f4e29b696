"""The tree of a checkpoint, and the dotted paths of the tensors in it."""

from __future__ import annotations

from dataclasses import replace

from rtdetr_nb.checkpoint.tensor_info import Opaque, TensorInfo

LONGEST_KEY = 200
"""Characters of a key; what is longer is shortened in paths."""


def join_path(path: str, key: object) -> str:
    """The dotted path of the entry `key` of what stands at `path`."""
    name = key if type(key) is str else repr(key)
    if len(name) > LONGEST_KEY:
        name = f"{name[: LONGEST_KEY - 3]}..."
    return f"{path}.{name}" if path else name


def list_tensors(tree: object) -> dict[str, TensorInfo]:
    """List the tensors of a tree in the order of the file, under their dotted paths."""
    tensors: dict[str, TensorInfo] = {}
    pending: list[tuple[str, object]] = [("", tree)]
    while pending:
        path, node = pending.pop()
        if type(node) is TensorInfo:
            key = path
            repeat = 2
            while key in tensors:  # {"a.b": x, "a": {"b": y}}
                key = f"{path}~{repeat}"
                repeat += 1
            tensors[key] = node if node.key == key else replace(node, key=key)
            continue
        if isinstance(node, Opaque):
            parts = [*enumerate(node.arguments), *node.attributes.items()]
            parts += [*node.items.items(), *enumerate(node.elements)]
        elif type(node) is dict:
            parts = [*node.items()]
        elif type(node) in (list, tuple):
            parts = [*enumerate(node)]  # pyright: ignore[reportArgumentType]
        else:
            continue
        pending.extend((join_path(path, key), value) for key, value in reversed(parts))
    return tensors
