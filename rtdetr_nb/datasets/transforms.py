"""The official augmentations by their YAML names, made of torchvision's transforms v2."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_convert
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from rtdetr_nb.errors import ConfigError
from rtdetr_nb.text.suggestion import suggest

Target = dict[str, Tensor]


class RandomIoUCrop(v2.RandomIoUCrop):
    """torchvision's crop (SSD's), tried with probability `p` only; the rest is left as it is."""

    def __init__(
        self,
        min_scale: float = 0.3,
        max_scale: float = 1.0,
        min_aspect_ratio: float = 0.5,
        max_aspect_ratio: float = 2.0,
        sampler_options: list[float] | None = None,
        trials: int = 40,
        p: float = 1.0,
    ) -> None:
        super().__init__(
            min_scale, max_scale, min_aspect_ratio, max_aspect_ratio, sampler_options, trials
        )
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        """Crop, or return the inputs."""
        if torch.rand(1).item() < self.p:
            return super().forward(*inputs)
        return inputs[0] if len(inputs) == 1 else inputs


class PadToSize(v2.Transform):
    """Pad at the right and the bottom up to `size`: one number, or width and height in pixels."""

    def __init__(
        self, size: int | Sequence[int], fill: float = 0, padding_mode: str = "constant"
    ) -> None:
        super().__init__()
        self.size_wh = (size, size) if isinstance(size, int) else tuple(size)
        self.fill, self.padding_mode = fill, padding_mode

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The padding in pixels: left, top, right, bottom."""
        height, width = v2.query_size(flat_inputs)
        right, bottom = self.size_wh[0] - width, self.size_wh[1] - height
        return {"padding": [0, 0, max(right, 0), max(bottom, 0)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Pad a picture, or give boxes the new canvas."""
        return functional.pad(
            inpt, padding=params["padding"], fill=self.fill, padding_mode=self.padding_mode
        )


class ConvertPILImage(v2.Transform):
    """PIL picture to tensor (3, H, W): `dtype` float32 or uint8; `scale` divides by 255."""

    _transformed_types = (Image.Image,)

    def __init__(self, dtype: str = "float32", scale: bool = True) -> None:
        super().__init__()
        if dtype not in {"float32", "uint8"} or (dtype == "uint8" and scale):
            raise ValueError(f"dtype {dtype} with scale {scale}")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Convert one picture."""
        image = functional.pil_to_tensor(inpt)
        if self.dtype == "float32":
            image = image.float()
        return tv_tensors.Image(image / 255.0 if self.scale else image)


class ConvertBoxes(v2.Transform):
    """Boxes to another format (`xyxy`, `xywh`, `cxcywh`) and, if wanted, to fractions of the image.

    Normalised boxes are plain tensors: they belong to no canvas any more.
    """

    _transformed_types = (tv_tensors.BoundingBoxes,)

    def __init__(self, fmt: str = "", normalize: bool = False) -> None:
        super().__init__()
        self.fmt, self.normalize = fmt.lower(), normalize
        if self.fmt not in {"", "xyxy", "xywh", "cxcywh"}:
            raise ValueError(f"fmt {fmt}")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Convert the boxes (N, 4) of one picture."""
        height, width = inpt.canvas_size
        old_format = inpt.format.value.lower()
        new_format = self.fmt or old_format
        boxes = box_convert(inpt.as_subclass(Tensor), old_format, new_format)
        if self.normalize:
            return boxes / torch.tensor([width, height, width, height])
        return tv_tensors.BoundingBoxes(
            boxes,
            format=new_format.upper(),  # type: ignore[arg-type]  # the stubs want the enumeration
            canvas_size=(height, width),
        )


def _per_box_values(inputs: Any) -> tuple[Tensor, ...]:
    """What has one row a box, besides the boxes: dropped together with them."""
    target = next(value for value in inputs if isinstance(value, Mapping))
    return tuple(target[name] for name in ("labels", "area", "iscrowd") if name in target)


def _sanitize(min_size: float = 1.0, min_area: float = 1.0) -> v2.Transform:
    return v2.SanitizeBoundingBoxes(min_size, min_area, labels_getter=_per_box_values)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "ConvertBoxes": ConvertBoxes,
    "ConvertPILImage": ConvertPILImage,
    "EmptyTransform": v2.Identity,
    "Normalize": v2.Normalize,
    "PadToSize": PadToSize,
    "RandomCrop": v2.RandomCrop,
    "RandomHorizontalFlip": v2.RandomHorizontalFlip,
    "RandomIoUCrop": RandomIoUCrop,
    "RandomPhotometricDistort": v2.RandomPhotometricDistort,
    "RandomZoomOut": v2.RandomZoomOut,
    "Resize": v2.Resize,
    "SanitizeBoundingBoxes": _sanitize,
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
        stopping = self.stop_epoch is not None and epoch >= self.stop_epoch
        for name, operation in self.operations:
            if not (stopping and name in self.stopped):
                image, target = operation(image, target)
        return image, target


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
