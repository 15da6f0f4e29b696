"""The official augmentations: torchvision's transforms v2, most of which can also be composed.

`compose` does with boxes and random draws what the transform does when it is called, but only notes
what is to be done to the picture.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_convert
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from rtdetr_nb.datasets.batches import iou_crop
from rtdetr_nb.datasets.batches.colours import ColourDistortion
from rtdetr_nb.datasets.batches.pending_picture import Fill, PendingPicture

Target = dict[str, Tensor]

_BILINEAR = {v2.InterpolationMode.BILINEAR, "bilinear", Image.Resampling.BILINEAR.value}
_PER_BOX = ("labels", "area", "iscrowd")  # one row a box, besides the boxes: dropped together


class Composable(ABC):
    """A transform that can be composed with those before and behind it.

    Attributes:
        leaves_pixels: it changes the target only, and takes a picture of any type.
    """

    leaves_pixels = False

    @abstractmethod
    def compose(self, picture: Any, target: Target) -> tuple[Any, Target]:
        """The picture with this to be done to it, and the target with it done.

        `target["boxes"]` are `BoundingBoxes` on a canvas of the picture's size.
        """


class RandomPhotometricDistort(v2.RandomPhotometricDistort, Composable):
    """torchvision's distortion of colours."""

    def compose(self, picture: PendingPicture, target: Target) -> tuple[PendingPicture, Target]:
        """Note the colours; boxes have none."""
        params = self.make_params([picture.source])
        return picture.distort(ColourDistortion.from_params(params)), target


class RandomZoomOut(v2.RandomZoomOut, Composable):
    """torchvision's larger canvas."""

    def compose(self, picture: PendingPicture, target: Target) -> tuple[PendingPicture, Target]:
        """Note the canvas, and move the boxes on it."""
        if torch.rand(1).item() >= self.p:
            return picture, target
        params = self.make_params([target["boxes"]])
        target = target | {"boxes": self.transform(target["boxes"], params)}
        return picture.zoom_out(tuple(params["padding"]), self._fill_rgb()), target

    def _fill_rgb(self) -> Fill:
        """As torchvision fills a Pillow picture."""
        fill: Any = self.fill
        if isinstance(fill, Mapping):
            fill = fill.get(Image.Image, fill.get("others"))
        red, green, blue = fill if isinstance(fill, Sequence) else [fill or 0] * 3
        return int(red), int(green), int(blue)


class RandomIoUCrop(iou_crop.RandomIoUCrop, Composable):
    """SSD's crop."""

    def compose(self, picture: PendingPicture, target: Target) -> tuple[PendingPicture, Target]:
        """Note the crop, and clip the boxes to it."""
        if torch.rand(1).item() >= self.p:
            return picture, target
        params = self.make_params([target["boxes"]])
        if not params:
            return picture, target
        target = target | {"boxes": self.transform(target["boxes"], params)}
        crop = (params[name] for name in ("left", "top", "width", "height"))
        return picture.crop(*crop), target


class RandomHorizontalFlip(v2.RandomHorizontalFlip, Composable):
    """torchvision's flip."""

    def compose(self, picture: PendingPicture, target: Target) -> tuple[PendingPicture, Target]:
        """Note the flip, and turn the boxes."""
        if torch.rand(1).item() >= self.p:
            return picture, target
        boxes = functional.horizontal_flip(target["boxes"])
        return picture.mirror(), target | {"boxes": boxes}


class Resize(v2.Resize, Composable):
    """torchvision's resize."""

    def compose(self, picture: PendingPicture, target: Target) -> tuple[PendingPicture, Target]:
        """Note the size, and scale the boxes."""
        if self.interpolation not in _BILINEAR:
            image, target = self(picture.render(), target)
            return PendingPicture(image), target
        boxes: Any = self.transform(target["boxes"], {})
        return picture.resize(boxes.canvas_size), target | {"boxes": boxes}


class SanitizeBoundingBoxes(v2.SanitizeBoundingBoxes, Composable):
    """torchvision's removal of boxes that are too small, with every value that is theirs."""

    leaves_pixels = True

    def __init__(self, min_size: float = 1.0, min_area: float = 1.0) -> None:
        super().__init__(min_size, min_area, labels_getter=_per_box_values)

    def compose(self, picture: Any, target: Target) -> tuple[Any, Target]:
        """Drop boxes."""
        boxes, kept = functional.sanitize_bounding_boxes(
            target["boxes"], min_size=self.min_size, min_area=self.min_area
        )
        if kept.all():
            return picture, target
        others = {name: target[name][kept] for name in _PER_BOX if name in target}
        return picture, target | {"boxes": boxes, **others}


def _per_box_values(inputs: Any) -> tuple[Tensor, ...]:
    target = next(value for value in inputs if isinstance(value, Mapping))
    return tuple(target[name] for name in _PER_BOX if name in target)


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


class ConvertPILImage(v2.Transform, Composable):
    """PIL picture to tensor (3, H, W): `dtype` float32 or uint8; `scale` divides by 255."""

    _transformed_types = (Image.Image,)

    def __init__(self, dtype: str = "float32", scale: bool = True) -> None:
        super().__init__()
        if dtype not in {"float32", "uint8"} or (dtype == "uint8" and scale):
            raise ValueError(f"dtype {dtype} with scale {scale}")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Convert one picture."""
        return self._convert(functional.pil_to_tensor(inpt))

    def compose(self, picture: PendingPicture, target: Target) -> tuple[Tensor, Target]:
        """Do what is to be done to the picture, and convert it."""
        return self._convert(picture.tensor()), target

    def _convert(self, image: Tensor) -> Tensor:
        if self.dtype == "float32":
            image = image.float()
        return tv_tensors.Image(image.div_(255) if self.scale else image)


class ConvertBoxes(v2.Transform, Composable):
    """Boxes to another format (`xyxy`, `xywh`, `cxcywh`) and, if wanted, to fractions of the image.

    Normalised boxes are plain tensors: they belong to no canvas any more.
    """

    _transformed_types = (tv_tensors.BoundingBoxes,)
    leaves_pixels = True

    def __init__(self, fmt: str = "", normalize: bool = False) -> None:
        super().__init__()
        self.fmt, self.normalize = fmt.lower(), normalize
        if self.fmt not in {"", "xyxy", "xywh", "cxcywh"}:
            raise ValueError(f"fmt {fmt}")

    def compose(self, picture: Any, target: Target) -> tuple[Any, Target]:
        """Convert the boxes."""
        return picture, target | {"boxes": self.transform(target["boxes"], {})}

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
