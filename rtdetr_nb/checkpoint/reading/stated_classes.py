"""The names of the classes that a file states beside its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rtdetr_nb.checkpoint.reading.tensor_info import Opaque, TensorInfo

_KEYS = frozenset({"classes", "class_names", "names", "id2label", "label_names"})
_DEPTH = 5
_MOST_ENTRIES = 2_000  # of one dict: those of a state dict are tensors


def stated_classes(tree: object, count: int) -> tuple[str, ...]:
    """Return the names of `count` classes by their labels, as mmengine and others state them.

    Args:
        tree: everything in the file, as `Checkpoint.tree` holds it.
        count: how many classes the heads have.

    Returns:
        The names, those nearest to the top; () where no list of that length is there.
    """
    found = (names for value in _stated(tree, _DEPTH) if len(names := _names(value)) == count)
    return next(found, ())


def _stated(tree: object, depth: int) -> Iterator[object]:
    level = [tree]
    for _ in range(depth):
        deeper: list[object] = []
        for node in level:
            entries = _entries(node)
            yield from (v for key, v in entries.items() if str(key).lower() in _KEYS)
            deeper += [v for v in entries.values() if not isinstance(v, TensorInfo | str)]
        level = deeper


def _entries(node: object) -> Mapping[object, object]:
    if isinstance(node, Opaque):
        node = {**node.attributes, **node.items}
    return node if isinstance(node, Mapping) and len(node) <= _MOST_ENTRIES else {}


def _names(value: object) -> tuple[str, ...]:
    """Return names that stand in a list, or in a dict by their labels 0, 1, ..."""
    if isinstance(value, Mapping):
        by_label = {int(k): v for k, v in value.items() if str(k).isdecimal()}
        value = (
            [by_label[label] for label in sorted(by_label)] if len(by_label) == len(value) else ()
        )
        if sorted(by_label) != list(range(len(value))):
            return ()
    if not isinstance(value, list | tuple):
        return ()
    names = tuple(name for name in value if isinstance(name, str))
    return names if len(names) == len(value) else ()
