"""The official augmentations by their YAML names, as one pipeline."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from rtdetr_nb.datasets.batches.operations import (
    Composable,
    ConvertBoxes,
    ConvertPILImage,
    PadToSize,
    RandomHorizontalFlip,
    RandomIoUCrop,
    RandomPhotometricDistort,
    RandomZoomOut,
    Resize,
    SanitizeBoundingBoxes,
)
from rtdetr_nb.datasets.batches.pending_picture import PendingPicture
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.text.suggestion import suggest

Target = dict[str, Tensor]

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "ConvertBoxes": ConvertBoxes,
    "ConvertPILImage": ConvertPILImage,
    "EmptyTransform": v2.Identity,
    "Normalize": v2.Normalize,
    "PadToSize": PadToSize,
    "RandomCrop": v2.RandomCrop,
    "RandomHorizontalFlip": RandomHorizontalFlip,
    "RandomIoUCrop": RandomIoUCrop,
    "RandomPhotometricDistort": RandomPhotometricDistort,
    "RandomZoomOut": RandomZoomOut,
    "Resize": Resize,
    "SanitizeBoundingBoxes": SanitizeBoundingBoxes,
}


@dataclass(frozen=True)
class TransformPipeline:
    """Operations in order, some of which stop at an epoch.

    Attributes:
        operations: pairs of official name and transform of (image, target).
        stopped: names of the operations that are left out from `stop_epoch` on.
        stop_epoch: the first epoch, counted from 0, without them; None never stops them.
    """

    operations: tuple[tuple[str, Callable[..., Any]], ...]
    stopped: Collection[str] = field(default=())
    stop_epoch: int | None = None

    def __call__(self, image: Any, target: Target, epoch: int = 0) -> tuple[Any, Target]:
        """Apply to one picture and its target as in that epoch."""
        picture = _pending(image)
        for _, operation in self.active(epoch):
            if _is_composable(operation, picture, target):
                picture, target = operation.compose(picture, target)
            else:
                image, target = operation(_rendered(picture), target)
                picture = _pending(image)
        return _rendered(picture), target

    def active(self, epoch: int) -> list[tuple[str, Callable[..., Any]]]:
        """The operations of that epoch, with their names."""
        stopping = self.stop_epoch is not None and epoch >= self.stop_epoch
        return [pair for pair in self.operations if not (stopping and pair[0] in self.stopped)]

    def without_scaling(self) -> "TransformPipeline":
        """The same, but its pictures stay bytes if nothing is done to the fractions of 255.

        A batch of bytes is a quarter as large on its way from a worker to the device.
        """
        for place, (name, operation) in enumerate(self.operations):
            if isinstance(operation, ConvertPILImage) and operation.scale:
                behind = self.operations[place + 1 :]
                if all(getattr(each, "leaves_pixels", False) for _, each in behind):
                    bytes_only = (name, ConvertPILImage("uint8", scale=False))
                    return replace(self, operations=(*self.operations[:place], bytes_only, *behind))
        return self


def _pending(image: Any) -> Any:
    """A picture as operations compose it, if they can."""
    is_rgb = isinstance(image, Image.Image) and image.mode == "RGB"
    return PendingPicture(image) if is_rgb else image


def _rendered(picture: Any) -> Any:
    return picture.render() if isinstance(picture, PendingPicture) else picture


def _is_composable(operation: Any, picture: Any, target: Target) -> TypeGuard[Composable]:
    """Boxes on the picture's canvas are all that the operation has to transform with it."""
    if not isinstance(operation, Composable):
        return False
    transformed = [value for value in target.values() if isinstance(value, tv_tensors.TVTensor)]
    has_boxes = isinstance(target.get("boxes"), tv_tensors.BoundingBoxes)
    fits = isinstance(picture, PendingPicture) or operation.leaves_pixels
    return fits and has_boxes and len(transformed) == 1


def build_transforms(
    ops: Sequence[Mapping[str, Any]] | None, policy: Mapping[str, Any] | None = None
) -> TransformPipeline:
    """The pipeline of an official YAML list.

    Args:
        ops: mappings with `type` and the operation's arguments; None for no operation.
        policy: None, or `{name: stop_epoch, epoch: E, ops: [...]}`: those operations are left out
            from epoch E on.

    Raises:
        ConfigError: an operation, argument or policy that is not known.
    """
    operations = tuple(_build(operation) for operation in ops or ())
    if not policy or policy.get("name", "default") == "default":
        return TransformPipeline(operations)
    if policy["name"] != "stop_epoch":
        raise ConfigError(
            f"transforms.policy.name is {policy['name']!r}; expected stop_epoch or default. "
            "(stop_sample counts in each worker by itself, so a run would depend on their number.)"
        )
    if not isinstance(policy.get("epoch"), int) or not isinstance(policy.get("ops"), Sequence):
        raise ConfigError(
            f"transforms.policy is {dict(policy)}; expected a number as epoch and a list of names "
            "as ops."
        )
    for name in policy["ops"]:
        _check_name(name)
    return TransformPipeline(operations, frozenset(policy["ops"]), policy["epoch"])


def _build(operation: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    if not isinstance(operation, Mapping) or "type" not in operation:
        raise ConfigError(f"transforms.ops has {operation!r}; expected a mapping with `type`.")
    arguments = dict(operation)
    name = arguments.pop("type")
    _check_name(name)
    try:
        return name, _OPERATIONS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"transforms.ops: {name} does not take {arguments} ({error}).") from error


def _check_name(name: Any) -> None:
    if name in _OPERATIONS:
        return
    hint = suggest(name, _OPERATIONS) or f"Known are {', '.join(_OPERATIONS)}."
    raise ConfigError(f"transforms: there is no operation {name!r}. {hint}")
