"""A picture file to an RGB picture, the way its labels were drawn."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from rtdetr_nb.errors import DatasetError

# Largest value of a picture of 16 bits; older Pillow opens such PNGs as 32-bit integers, "I".
_LARGEST_16 = 65_535
_ORIENTATION = 0x0112
_ACROSS = frozenset({5, 6, 7, 8})  # orientations that exchange width and height
DEEP_MODES = frozenset({"I", "F"})


class PictureModeError(ValueError):
    """A picture whose values have no range that is known."""


def read_picture(path: Path, listed_wh: tuple[int, int] | None = None) -> Image.Image:
    """Decode a picture to RGB, 8 bits a channel, turned as its labels expect it.

    A file that says how it is to be turned (EXIF) is turned where it then has its listed size, or
    where no size is listed: the person who draws boxes sees it turned. Values of 16 bits are scaled
    by their range, floats from 0 to 1 by 255; Pillow would make both white.

    Args:
        path: of the file.
        listed_wh: width and height that the labels are for, in pixels; None if not known.

    Raises:
        PictureModeError: floats or integers of another range.
        OSError: or another error of Pillow's: it cannot be decoded.
    """
    with Image.open(path) as image:
        whole = ImageOps.exif_transpose(image) if is_turned(image, listed_wh) else image
        return to_rgb(whole)


def orientation_of(image: Image.Image) -> int:
    """EXIF's number for how a picture is to be turned, 2 to 8; 1 where it is not to be turned."""
    # The whole EXIF block is parsed only where a file has one.
    if not ({"exif", "Raw profile type exif", "XML:com.adobe.xmp"} & image.info.keys()) and (
        image.format in ("JPEG", "PNG", "WEBP")
    ):
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (ValueError, SyntaxError, OSError, KeyError):  # a block that is broken says nothing
        return 1
    return value if value in range(2, 9) else 1


def is_turned(image: Image.Image, listed_wh: tuple[int, int] | None) -> bool:
    """Whether a picture is to be turned: its file says so, and its listed size does not object."""
    orientation = orientation_of(image)
    width, height = image.size
    turned = (height, width) if orientation in _ACROSS else (width, height)
    return orientation != 1 and listed_wh in (None, turned)


def used_size(image: Image.Image, listed_wh: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of a picture as `read_picture` gives it."""
    width, height = image.size
    across = is_turned(image, listed_wh) and orientation_of(image) in _ACROSS
    return (height, width) if across else (width, height)


def is_deep(mode: str) -> bool:
    """Whether pictures of this mode have more than 8 bits a channel."""
    return mode in DEEP_MODES or mode.startswith("I;")


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture in RGB, 8 bits a channel.

    Raises:
        PictureModeError: values whose range is not known.
    """
    if not is_deep(image.mode):
        try:
            return image.convert("RGB")
        except ValueError as error:
            raise PictureModeError(
                f"its mode is {image.mode}, which has no way to RGB; save it as RGB"
            ) from error
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    of_floats = 1.0 if high <= 1.0 else 255.0
    largest = of_floats if image.mode == "F" else float(_LARGEST_16)
    if not (low >= 0 and high <= largest):
        raise PictureModeError(
            f"its mode is {image.mode} with values from {low:g} to {high:g}, whose range is not "
            "known (0 to 65,535 for integers, 0 to 1 or 0 to 255 for floats); save it as 8 bits"
        )
    grey = np.rint(values * (255.0 / largest)).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def decode(path: Path, source: Path, listed_wh: tuple[int, int] | None = None) -> Image.Image:
    """As `read_picture`, for a picture that `source` lists.

    Raises:
        DatasetError: the file is missing, or cannot be decoded.
    """
    try:
        return read_picture(path, listed_wh)
    except FileNotFoundError as error:
        raise DatasetError(
            f"There is no picture {path}, which {source} lists. Check that img_folder is the "
            "folder that the file names are relative to."
        ) from error
    except PictureModeError as error:
        raise DatasetError(f"The picture {path} cannot be used: {error}.") from error
    # Pillow reports damage by OSError, SyntaxError, ValueError and its own errors.
    except Exception as error:  # noqa: BLE001
        raise DatasetError(
            f"The picture {path} cannot be decoded ({type(error).__name__}: {error}). Replace "
            f"the file, or remove its entry from {source}."
        ) from error
