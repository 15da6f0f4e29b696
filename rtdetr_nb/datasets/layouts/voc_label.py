"""An XML file of Pascal VOC's: the size of a picture, and its objects with names and boxes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from rtdetr_nb.errors import DatasetError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """An object: its class, its corners as written, and whether it is marked difficult."""

    name: str
    corners: tuple[float, float, float, float]
    is_difficult: bool


@dataclass(frozen=True)
class VocLabel:
    """What an XML file says.

    Attributes:
        path: of the file.
        filename: of the picture, as the file has it; it is often wrong.
        size_wh: width and height in pixels; 0 where the file does not say.
        objects: in the order of the file.
    """

    path: Path
    filename: str
    size_wh: tuple[int, int]
    objects: tuple[VocObject, ...]

    def boxes_xywh(self, begin: int) -> np.ndarray:
        """Boxes (N, 4) in pixels, where `begin` is the number of the first pixel.

        VOC's corners are pixels that belong to the box: from 1, x = xmin - 1, width = xmax - x.
        """
        corners = np.array([item.corners for item in self.objects], float).reshape(-1, 4)
        start = corners[:, :2] - begin
        return np.concatenate([start, corners[:, 2:] - start], axis=1)


def begin_of_pixels(labels: Iterable[VocLabel]) -> int:
    """0 where a box begins at pixel 0, which VOC's own, counted from 1, never do; else 1."""
    smallest = min((min(o.corners[:2]) for each in labels for o in each.objects), default=1.0)
    return 0 if smallest < 1 else 1


def read_label_file(path: Path) -> VocLabel:
    """Read an XML file.

    Raises:
        DatasetError: it is no XML, or an object has no name or box.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DatasetError(f"The label file {path} cannot be read as XML ({error}).") from error
    size = root.find("size")
    sides = [_number(size, side) if size is not None else 0.0 for side in ("width", "height")]
    width, height = (int(side) if math.isfinite(side) else 0 for side in sides)
    name = (root.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    objects = tuple(_read_object(item, path) for item in root.iter("object"))
    return VocLabel(path, name, (width, height), objects)


def _read_object(item: ElementTree.Element, path: Path) -> VocObject:
    name = (item.findtext("name") or "").strip()
    box = item.find("bndbox")
    corners = [_number(box, corner) if box is not None else math.nan for corner in _CORNERS]
    if not name or not all(map(math.isfinite, corners)):
        raise DatasetError(
            f"The label file {path}: the object {name or 'without name'!r} has the corners "
            f"{corners}; expected a name, and a bndbox with xmin, ymin, xmax and ymax."
        )
    left, top, right, bottom = corners
    is_difficult = (item.findtext("difficult") or "0").strip() not in ("0", "")
    return VocObject(name, (left, top, right, bottom), is_difficult)


def _number(parent: ElementTree.Element, name: str) -> float:
    try:
        return float((parent.findtext(name) or "").strip())
    except ValueError:
        return math.nan
