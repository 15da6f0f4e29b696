"""Distortion of a picture's colours, equal to torchvision's to the last bit, on fewer pixels.

Brightness and contrast map each value by itself, so both are one table; a table is made by blending
all 256 values with Pillow, which does the same with pictures. Only what a crop leaves visible is
computed, unless the contrast, which needs the mean of the whole picture, comes last.
"""

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageEnhance, ImageStat

Box = tuple[int, int, int, int]

_VALUES = Image.frombytes("L", (256, 1), bytes(range(256)))
_IDENTITY = bytes(range(256))


@dataclass(frozen=True)
class ColourDistortion:
    """What is done to the colours of a picture (RGB), in the order of the attributes.

    Attributes:
        brightness: factor; None leaves it as it is, here and below.
        contrast: factor, about the mean of the whole picture.
        contrast_first: contrast comes behind brightness, else behind the hue.
        saturation: factor.
        hue: part of the circle of hues, -0.5 to 0.5.
        permutation: for each new channel the old one.
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = True
    saturation: float | None = None
    hue: float | None = None
    permutation: tuple[int, ...] | None = None

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "ColourDistortion":
        """From what `v2.RandomPhotometricDistort.make_params` draws."""
        permutation = params["channel_permutation"]
        return cls(
            params["brightness_factor"],
            params["contrast_factor"],
            params["contrast_before"],
            params["saturation_factor"],
            params["hue_factor"],
            None if permutation is None else tuple(permutation.tolist()),
        )

    @property
    def changes_nothing(self) -> bool:
        """No step is on."""
        steps = (self.brightness, self.contrast, self.saturation, self.hue, self.permutation)
        return all(step is None for step in steps)

    def apply(self, image: Image.Image, box: Box) -> Image.Image:
        """The part `box` (left, top, right, bottom in pixels) of the distorted picture."""
        brightness = _blend_table(0, self.brightness)
        if self.contrast is None or self.contrast_first:
            level = 0 if self.contrast is None else _mean_grey(_by_table(image, brightness))
            contrast = _blend_table(level, self.contrast)
            image = _by_table(_cropped(image, box), brightness.translate(contrast))
            image = self._saturate_and_turn(image)
        else:
            image = self._saturate_and_turn(_by_table(image, brightness))
            contrast = _blend_table(_mean_grey(image), self.contrast)
            image = _by_table(_cropped(image, box), contrast)
        if self.permutation is None:
            return image
        channels = image.split()
        return Image.merge("RGB", [channels[index] for index in self.permutation])

    def _saturate_and_turn(self, image: Image.Image) -> Image.Image:
        if self.saturation is not None:
            image = ImageEnhance.Color(image).enhance(self.saturation)
        if self.hue is None:
            return image
        shift = int(self.hue * 255)
        turned = bytes((value + shift) % 256 for value in range(256))
        return image.convert("HSV").point(turned + _IDENTITY * 2).convert("RGB")


def _blend_table(level: int, factor: float | None) -> bytes:
    """New value of each value: `factor` times as far from `level`."""
    if factor is None:
        return _IDENTITY
    return Image.blend(Image.new("L", _VALUES.size, level), _VALUES, factor).tobytes()


def _by_table(image: Image.Image, table: bytes) -> Image.Image:
    return image if table == _IDENTITY else image.point(table * 3)


def _mean_grey(image: Image.Image) -> int:
    """As `ImageEnhance.Contrast` rounds it."""
    return int(ImageStat.Stat(image.convert("L")).mean[0] + 0.5)


def _cropped(image: Image.Image, box: Box) -> Image.Image:
    return image if box == (0, 0, *image.size) else image.crop(box)
