"""A few of the user's pictures, the same ones each time, as tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from rtdetr_nb.errors import DatasetError

_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_SPLITS = ("val", "train")  # where there are both, the first is enough
_MOST_FILES = 20_000  # of a folder that are looked at


@runtime_checkable
class PictureSplit(Protocol):
    """A split of a data source: how many pictures it has, and where each one lies."""

    def __len__(self) -> int:
        """Number of pictures."""
        ...

    def image_path(self, index: int) -> Path:
        """Path of a picture."""
        ...


Pictures = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | object
"""A data source, a folder, or a list of picture files."""


def picture_paths(data: Pictures, count: int) -> list[Path]:
    """At most `count` pictures, spread evenly over those that there are; the same each time.

    Args:
        data: a data source with splits `val` and `train`, a folder with pictures (those of
            `images/val` or `images/train`, where there are such folders), or a list of files.
        count: how many.

    Raises:
        DatasetError: there are no pictures.
    """
    for name in _SPLITS:
        split = getattr(data, name, None)
        if isinstance(split, PictureSplit) and len(split):
            return [Path(split.image_path(i)) for i in _spread(len(split), count)]
    if isinstance(data, str | os.PathLike):
        found = _files_below(Path(data).expanduser())
    elif isinstance(data, Iterable):
        found = [Path(path) for path in data]  # pyright: ignore[reportArgumentType]
    else:
        raise DatasetError(
            f"{type(data).__name__} holds no pictures. Give a data source, a folder with pictures, "
            "or a list of picture files."
        )
    if not found:
        raise DatasetError(f"There are no pictures in {data!r}. Give a folder that holds some.")
    return [found[i] for i in _spread(len(found), count)]


def read_pictures(paths: Sequence[Path], size: int) -> tuple[Tensor, list[str]]:
    """Read pictures as RT-DETRv2 would feed them: RGB, (N, 3, size, size), values 0 to 1.

    Returns:
        The pictures, and a sentence on each file that could not be read.

    Raises:
        DatasetError: none could be read.
    """
    pictures, notes = [], []
    for path in paths:
        try:
            with Image.open(path) as image:
                shrunk = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
            notes.append(f"{path} could not be read as a picture ({type(error).__name__}).")
            continue
        pictures.append(pil_to_tensor(shrunk))
    if not pictures:
        raise DatasetError(
            f"None of the {len(paths)} pictures could be read; the first is {paths[0]}. Give other "
            "files."
        )
    return torch.stack(pictures).float() / 255.0, notes


def at_usual_light(pictures: Tensor, mean: float = 0.45, std: float = 0.25) -> Tensor:
    """The pictures with the brightness and contrast of usual photographs, channel by channel.

    Values may leave 0 to 1: the convolutions that look at them do not mind.
    """
    spread, centre = torch.std_mean(pictures, dim=(0, 2, 3), keepdim=True)
    return (pictures - centre) / spread.clamp(min=1e-6) * std + mean


def _files_below(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    for place in (*(folder / "images" / name for name in _SPLITS), folder):
        found = list(islice(_walk(place), _MOST_FILES))
        if found:
            return found
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}. Give a folder that holds pictures.")
    return []


def _walk(folder: Path) -> Iterator[Path]:
    """Pictures below a folder, in an order that does not depend on the file system."""
    for top, folders, names in os.walk(folder):
        folders.sort()
        paths = (Path(top) / name for name in sorted(names))
        yield from (path for path in paths if path.suffix.lower() in _ENDINGS)


def _spread(total: int, count: int) -> list[int]:
    if total <= count:
        return list(range(total))
    return np.linspace(0, total - 1, count).round().astype(int).tolist()
