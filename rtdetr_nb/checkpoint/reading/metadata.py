"""What a checkpoint says about its training: epoch, best metric, arguments, types of tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rtdetr_nb.checkpoint.reading.tensor_info import Opaque, TensorInfo
from rtdetr_nb.text.printable import printable

_LONGEST = 80
_MOST = 24
_DEPTH = 3
# Per-tensor state of an optimizer: thousands of numbers that say nothing by themselves.
_TOO_MANY = ("optimizer", "param_groups", "message_hub", "rng_state")


def plain_values(tree: object) -> dict[str, str]:
    """Return the numbers and words beside the tensors of a file's tree, by their dotted path.

    At most 24 of them, those nearest to the top first; names and values are printable.
    """
    found = sorted(_walk(tree, "", _DEPTH), key=lambda item: item[0].count("."))
    return {printable(path): _shortened(value) for path, value in found[:_MOST]}


def dtype_counts(tensors: Mapping[str, TensorInfo]) -> dict[str, int]:
    """Return the number of tensors of each element type, the most frequent first."""
    return dict(Counter(t.dtype for t in tensors.values()).most_common())


def _walk(node: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    if isinstance(node, bool | int | float | str):
        yield path, node
    elif depth and isinstance(node, Opaque):
        yield from _walk(node.attributes, path, depth)
        yield from _walk(node.items, path, depth)
    elif depth and isinstance(node, Mapping):
        for key, value in node.items():
            name = str(key)
            if not name.startswith(_TOO_MANY):
                yield from _walk(value, f"{path}.{name}" if path else name, depth - 1)


def _shortened(value: object) -> str:
    text = printable(f"{value:g}" if isinstance(value, float) else str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
