"""The sample pictures with a fault that people meet, to see what finds it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from rtdetr_nb.errors import UserError
from rtdetr_nb.files.checkout import shipped

SWAPPED = ("star", "ring")
"""Classes whose labels "swapped labels" exchanges in train."""

_SPLITS = ("train", "val")
_EACH = 4  # every fourth picture is turned
_ORIENTATION, _TURN_RIGHT = 0x0112, 6  # EXIF: to be shown turned by a quarter to the right
_MARK = ".planted"  # a folder with it is ours to replace


def plant_fault(fault: str, folder: str | Path, data: str | Path | None = None) -> Path:
    """Copy a data set and plant a fault in the copy.

    - "turned photos": every fourth lies on its side and says so (EXIF), as from a telephone.
    - "other numbers": val numbers its categories from the other end.
    - "fractions": boxes are fractions of the picture, as YOLO has them, in a COCO-format file.
    - "swapped labels": of two classes, in train alone.

    Args:
        fault: one of these.
        folder: of the copies; each fault has one below it, which is replaced if it is there.
        data: in this kit's own layout; the sample pictures by default.

    Returns:
        The folder of the copy.

    Raises:
        UserError: there is no such fault, or the folder of the copy holds something else.
    """
    if fault not in _FAULTS:
        raise UserError(f"There is no fault {fault!r}; expected one of {', '.join(_FAULTS)}.")
    copy = Path(folder) / fault.replace(" ", "_")
    if copy.exists():
        if not (copy / _MARK).is_file():
            raise UserError(f"{copy} holds something else. Give another folder.")
        shutil.rmtree(copy)
    shutil.copytree(shipped("data/shapes") if data is None else data, copy)
    (copy / _MARK).touch()
    _FAULTS[fault](copy)
    return copy


def _turn_photos(root: Path) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURN_RIGHT
    for split in _SPLITS:
        for path in sorted((root / "images" / split).iterdir())[::_EACH]:
            with Image.open(path) as image:
                # Stored turned to the left, so that the turn to the right shows it upright.
                lying = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
            lying.save(path, quality=90, exif=exif)


def _number_otherwise(content: dict[str, Any]) -> None:
    last = max(category["id"] for category in content["categories"])
    for category in content["categories"]:
        category["id"] = last - category["id"]
    for annotation in content["annotations"]:
        annotation["category_id"] = last - annotation["category_id"]


def _as_fractions(content: dict[str, Any]) -> None:
    sizes = {each["id"]: (each["width"], each["height"]) for each in content["images"]}
    for annotation in content["annotations"]:
        size = 2 * sizes[annotation["image_id"]]
        annotation["bbox"] = [
            round(pixels / side, 6) for pixels, side in zip(annotation["bbox"], size, strict=True)
        ]


def _swap_labels(content: dict[str, Any]) -> None:
    ids = {category["name"]: category["id"] for category in content["categories"]}
    one, other = (ids[name] for name in SWAPPED)
    swapped = {one: other, other: one}
    for annotation in content["annotations"]:
        label = annotation["category_id"]
        annotation["category_id"] = swapped.get(label, label)


def _changed(
    change: Callable[[dict[str, Any]], None], splits: tuple[str, ...]
) -> Callable[[Path], None]:
    """What changes the annotation files of these splits."""

    def plant(root: Path) -> None:
        for split in splits:
            path = root / "annotations" / f"{split}.json"
            content = json.loads(path.read_text(encoding="utf-8"))
            change(content)
            path.write_text(json.dumps(content), encoding="utf-8")

    return plant


_FAULTS: dict[str, Callable[[Path], None]] = {
    "turned photos": _turn_photos,
    "other numbers": _changed(_number_otherwise, ("val",)),
    "fractions": _changed(_as_fractions, _SPLITS),
    "swapped labels": _changed(_swap_labels, ("train",)),
}
