"""A picture and what is still to be done to it, so that it is done once, and on what is seen.

Zoom-out, crop, flip and resize are one rectangle of the source and one size. No canvas is made for
the zoom-out, nothing is computed that a crop leaves out, and the pixels are sampled once.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from rtdetr_nb.datasets.batches.colours import Box, ColourDistortion

Fill = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """A rectangle in the pixels of the source; it may reach beyond, and shows `fill` there."""

    left: int
    top: int
    width: int
    height: int
    fill: Fill = (0, 0, 0)


@dataclass(frozen=True)
class PendingPicture:
    """A picture and what is to be done to it, in the order of the attributes.

    What would come in another order is done at once, to the picture as it then is.

    Attributes:
        source: RGB, as decoded.
        colours: what is done to the colours of all of it.
        window: what is seen of it; None for all.
        mirrored: left and right are exchanged.
        new_size_hw: height and width that the picture then gets.
    """

    source: Image.Image
    colours: ColourDistortion | None = None
    window: Window | None = None
    mirrored: bool = False
    new_size_hw: tuple[int, int] | None = None

    def distort(self, colours: ColourDistortion) -> "PendingPicture":
        """With other colours."""
        if colours.changes_nothing:
            return self
        free = self.colours is None and self.window is None and self.new_size_hw is None
        return replace(self if free else self.settled(), colours=colours)

    def zoom_out(self, padding: tuple[int, int, int, int], fill: Fill) -> "PendingPicture":
        """On a larger canvas; `padding` in pixels: left, top, right, bottom."""
        free = self.window is None and not self.mirrored and self.new_size_hw is None
        picture = self if free else self.settled()
        (left, top, right, bottom), (width, height) = padding, picture.source.size
        window = Window(-left, -top, left + width + right, top + height + bottom, fill)
        return replace(picture, window=window)

    def crop(self, left: int, top: int, width: int, height: int) -> "PendingPicture":
        """That rectangle only, in pixels of the picture as it is now."""
        free = not self.mirrored and self.new_size_hw is None
        picture = self if free else self.settled()
        seen = picture.window or Window(0, 0, *picture.source.size)
        window = Window(seen.left + left, seen.top + top, width, height, seen.fill)
        return replace(picture, window=window)

    def mirror(self) -> "PendingPicture":
        """Left and right exchanged."""
        picture = self if self.new_size_hw is None else self.settled()
        return replace(picture, mirrored=not picture.mirrored)

    def resize(self, size_hw: tuple[int, int]) -> "PendingPicture":
        """Of that size, bilinear and with antialias."""
        picture = self if self.new_size_hw is None else self.settled()
        return replace(picture, new_size_hw=size_hw)

    def settled(self) -> "PendingPicture":
        """All done, nothing pending."""
        return PendingPicture(self.render())

    def render(self) -> Image.Image:
        """The picture with all done to it."""
        if self.colours is None and self.window is None:
            return self._render_whole()
        return Image.fromarray(self._render_part())

    def tensor(self) -> Tensor:
        """The picture with all done to it, (3, H, W) uint8."""
        if self.colours is None and self.window is None:
            pixels = np.array(self._render_whole())
        else:
            pixels = self._render_part()
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _render_whole(self) -> Image.Image:
        """By Pillow, as the official code does: validation and light augmentation see its bytes."""
        image = self.source
        if self.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        height, width = self.new_size_hw or (image.height, image.width)
        if (width, height) == image.size:
            return image
        return image.resize((width, height), Image.Resampling.BILINEAR)

    def _render_part(self) -> np.ndarray:
        """By torch's resampling, which is faster and differs from Pillow's by one level at most."""
        width, height = self.source.size
        window = self.window or Window(0, 0, width, height)
        right, bottom = window.left + window.width, window.top + window.height
        box = (max(window.left, 0), max(window.top, 0), min(right, width), min(bottom, height))
        new_size_hw = self.new_size_hw or (window.height, window.width)
        if box[0] >= box[2] or box[1] >= box[3]:
            return _filled(new_size_hw, window.fill)
        pixels = np.array(self._seen(box))
        # The place of the seen part in the window.
        left = right - box[2] if self.mirrored else box[0] - window.left
        return _resample(pixels, left, box[1] - window.top, window, new_size_hw)

    def _seen(self, box: Box) -> Image.Image:
        image = self.colours.apply(self.source, box) if self.colours else self.source.crop(box)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored else image


def _resample(
    pixels: np.ndarray, left: int, top: int, window: Window, new_size_hw: tuple[int, int]
) -> np.ndarray:
    """A window that shows `pixels` (H, W, 3) at `left` and `top`, resized.

    Both directions are sampled one by one, as always; rows and columns that show the fill alone are
    left out, so it costs as much as the seen part is large.
    """
    if pixels.shape[:2] == (window.height, window.width):
        return _resize(pixels, new_size_hw)
    new_height, new_width = new_size_hw
    rows = _place(pixels, left, window.width, axis=1, fill=window.fill)
    rows = _resize(rows, (len(rows), new_width))
    first, last = _reach(left, pixels.shape[1], window.width, new_width)
    columns = _place(rows[:, first:last], top, window.height, axis=0, fill=window.fill)
    columns = _resize(columns, (new_height, last - first))
    return _place(columns, first, new_width, axis=1, fill=window.fill)


def _reach(start: int, length: int, old: int, new: int) -> tuple[int, int]:
    """First and last (exclusive) new position that sees old ones from `start` on.

    A new position sees the old ones within one step, a step being the larger of both distances.
    """
    scale = new / old
    margin = max(scale, 1) + 1
    first, last = int(start * scale - margin), int((start + length) * scale + margin) + 1
    return max(first, 0), min(last, new)


def _place(pixels: np.ndarray, start: int, length: int, axis: int, fill: Fill) -> np.ndarray:
    """`pixels` on a canvas that is `length` long on that axis, from `start` on."""
    if pixels.shape[axis] == length:
        return pixels
    height, width = pixels.shape[:2]
    canvas = _filled((height, length) if axis == 1 else (length, width), fill)
    place = [slice(None), slice(None)]
    place[axis] = slice(start, start + pixels.shape[axis])
    canvas[tuple(place)] = pixels
    return canvas


def _filled(size_hw: tuple[int, int], fill: Fill) -> np.ndarray:
    if not any(fill):
        return np.zeros((*size_hw, 3), np.uint8)  # memory that nobody touches costs nothing
    return np.full((*size_hw, 3), fill, np.uint8)


def _resize(pixels: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size_hw:
        return pixels
    # A batch of one, channels last: torch samples whole pixels then.
    images = torch.from_numpy(np.ascontiguousarray(pixels).reshape(1, *pixels.shape))
    images = images.permute(0, 3, 1, 2)
    images = F.interpolate(images, size_hw, mode="bilinear", antialias=True)
    return images.permute(0, 2, 3, 1).numpy()[0]
