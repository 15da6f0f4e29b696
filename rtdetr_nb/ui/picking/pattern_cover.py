"""The tree of a model's names, and the shortest patterns for what was picked in it.

A branch of the tree is always a prefix of names: everything that is ticked in it can be written as
patterns, and one line of code selects it again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.patterns import loadable_names
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.errors import SelectionError
from rtdetr_nb.text.kind_patterns import cover_by_kind

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff

_Leaf = tuple[tuple[str, ...], str]  # path in the tree, model key


def branch_path(model_key: str) -> tuple[str, ...]:
    """Return the path to a tensor in the tree; the last step is the tensor.

    `backbone.stages.2.blocks.0.layers.1.conv1.bn.bias` is ("stages.2", "blocks.0", "layers.1",
    "conv1", "bn.bias"): numbers stay with their word, and so does a tensor with its module.
    """
    words: list[str] = []
    for word in model_key.removeprefix(BACKBONE).split("."):
        if word.isdecimal() and words:
            words[-1] += f".{word}"
        else:
            words.append(word)
    return tuple([*words[:-2], ".".join(words[-2:])]) if len(words) > 2 else tuple(words)


def patterns_for(diff: Diff, keys: Collection[str]) -> tuple[list[str], list[str]]:
    """Return `include` and `exclude` with which `diff.select` takes exactly `keys`.

    A whole branch becomes one pattern, and so do tensors of one kind (`*.bn.*`). If it is shorter,
    whole parts are included and the rest of them is excluded.
    """
    leaves = [
        (branch_path(row.model_key), row.model_key)
        for row in diff.rows
        if row.model_key and row.loadable
    ]
    wanted = set(keys)
    parts = {path[0] for path, key in leaves if key in wanted}
    inside = [leaf for leaf in leaves if leaf[0][0] in parts]
    own, others = ({key for _, key in scope} - wanted for scope in (inside, leaves))
    touched = _cover(leaves, {key for _, key in inside})
    ways = [
        (_cover(leaves, wanted), []),
        (["*"], _cover(leaves, others)),
        (touched, _by_kind(inside, own)),
        (_by_kind(leaves, wanted), []),
    ]
    # "*" needs no thought, so it does not count. Of equals the first is the plainest.
    return min(ways, key=lambda way: len(way[0]) - (way[0] == ["*"]) + len(way[1]))


def _by_kind(leaves: Sequence[_Leaf], keys: set[str]) -> list[str]:
    bare = {key: key.removeprefix(BACKBONE) for _, key in leaves}
    return cover_by_kind(list(bare.values()), [short for key, short in bare.items() if key in keys])


def select_keys(diff: Diff, keys: Collection[str]) -> Selection:
    """Return the selection of exactly `keys`, described by patterns.

    Raises:
        SelectionError: there are no keys, or one of them cannot be taken.
    """
    if not keys:
        raise SelectionError("Nothing is picked. Tick at least one tensor.")
    include, exclude = patterns_for(diff, loadable_names(diff, keys))
    return diff.select(include, exclude)


def selection_code(diff: Diff, keys: Collection[str]) -> str:
    """Return the line of code that makes the selection of `keys` again."""
    include, exclude = patterns_for(diff, keys)
    without = f", exclude={json.dumps(exclude)}" if exclude else ""
    return f"diff.select(include={json.dumps(include)}{without})"


def _cover(leaves: Sequence[_Leaf], keys: set[str], depth: int = 0) -> list[str]:
    """Return the patterns of the largest branches that contain only `keys`."""
    taken = sum(key in keys for _, key in leaves)
    if taken == 0:
        return []
    path = leaves[0][0]
    if taken == len(leaves):
        name = ".".join(path[:depth])
        return [name if depth == len(path) else f"{name}.*" if name else "*"]
    children: dict[str, list[_Leaf]] = {}
    for leaf in leaves:
        children.setdefault(leaf[0][depth], []).append(leaf)
    return [pattern for child in children.values() for pattern in _cover(child, keys, depth + 1)]
