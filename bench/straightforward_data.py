"""The augmentation in its straightforward form, which ours is measured and tested against.

torchvision's operations one after the other on Pillow pictures: each makes a whole picture, the
crop is searched trial by trial, and what leaves is floats.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from rtdetr_nb.datasets.batches.coco import Target
from rtdetr_nb.datasets.batches.operations import ConvertBoxes

_PER_BOX = ("labels", "area", "iscrowd")


class IoUCrop(v2.RandomIoUCrop):
    """torchvision's crop with a probability."""

    def __init__(self, p: float = 1.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        """Crop, or return the inputs."""
        return inputs if torch.rand(1) >= self.p else super().forward(*inputs)


def sanitize(**arguments: Any) -> v2.Transform:
    """torchvision's removal of small boxes, with what is theirs."""
    return v2.SanitizeBoundingBoxes(
        **arguments, labels_getter=lambda inputs: tuple(inputs[1][name] for name in _PER_BOX)
    )


def convert(dtype: str = "float32", scale: bool = True) -> Callable[..., Any]:
    """A Pillow picture to float32 in 0..1."""
    if (dtype, scale) != ("float32", True):
        raise ValueError(f"dtype {dtype} with scale {scale}")
    return lambda image, target: (functional.pil_to_tensor(image).float() / 255.0, target)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "ConvertBoxes": ConvertBoxes,
    "ConvertPILImage": convert,
    "RandomHorizontalFlip": v2.RandomHorizontalFlip,
    "RandomIoUCrop": IoUCrop,
    "RandomPhotometricDistort": v2.RandomPhotometricDistort,
    "RandomZoomOut": v2.RandomZoomOut,
    "Resize": v2.Resize,
    "SanitizeBoundingBoxes": sanitize,
}


class StraightforwardTransforms:
    """Operations of an official YAML list, one after the other.

    Args:
        ops: mappings with `type` and arguments.
        policy: as for `build_transforms`.
    """

    def __init__(
        self, ops: Sequence[Mapping[str, Any]], policy: Mapping[str, Any] | None = None
    ) -> None:
        self.operations = [(op["type"], _build(op)) for op in ops]
        self.stopped = frozenset(policy["ops"]) if policy else frozenset()
        self.stop_epoch = policy["epoch"] if policy else 0

    def __call__(self, image: Any, target: Target, epoch: int = 0) -> tuple[Any, Target]:
        """Apply to one picture and its target as in that epoch."""
        for name, operation in self.operations:
            if epoch < self.stop_epoch or name not in self.stopped:
                image, target = operation(image, target)
        return image, target


def _build(op: Mapping[str, Any]) -> Callable[..., Any]:
    return OPERATIONS[op["type"]](**{name: value for name, value in op.items() if name != "type"})
