"""A batch in few tensors, for its way from a data worker.

Each tensor that a worker sends keeps a file open until it is used: seven for each picture of a
batch are more than a system allows, and then the worker waits for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

Target = dict[str, Tensor]
TENSORS_OF_A_BATCH = 16  # at most: the images, and one for each key of a target


@dataclass(frozen=True)
class PackingCollate:
    """A collate function whose targets are packed; see `unpack_targets`.

    Attributes:
        collate: makes images and a list of targets of samples.
    """

    collate: Callable[[Sequence[Any]], tuple[Tensor, list[Target]]]

    def __call__(self, samples: Sequence[Any]) -> tuple[Tensor, dict[str, Any]]:
        """Images, and the targets in one tensor a key."""
        images, targets = self.collate(samples)
        return images, {name: _pack([each[name] for each in targets]) for name in targets[0]}


def _pack(values: list[Tensor]) -> dict[str, Any]:
    """Tensors (n, ...) as one (sum of n, ...), with what makes them again."""
    canvases = None
    if isinstance(values[0], tv_tensors.BoundingBoxes):
        canvases = [(boxes.format.value, *boxes.canvas_size) for boxes in values]  # type: ignore[attr-defined]
    joined = torch.cat([value.as_subclass(Tensor) for value in values])
    return {"joined": joined, "counts": [len(value) for value in values], "canvases": canvases}


def unpack_targets(packed: dict[str, Any]) -> list[Target]:
    """The list of targets that was packed; their tensors are views of the packed ones."""
    columns = {name: _unpack(**value) for name, value in packed.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _unpack(
    joined: Tensor, counts: list[int], canvases: list[tuple[str, int, int]] | None
) -> Sequence[Tensor]:
    values = joined.split(list(counts))
    if canvases is None:
        return values
    return [
        tv_tensors.BoundingBoxes(value, format=form, canvas_size=(height, width))  # type: ignore[arg-type]
        for value, (form, height, width) in zip(values, canvases, strict=True)
    ]
