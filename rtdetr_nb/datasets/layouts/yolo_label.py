"""A label file of YOLO's: a line an object, its class and its box or polygon in fractions."""

from pathlib import Path

import numpy as np

from rtdetr_nb.errors import DatasetError


def read_label_file(path: Path, num_classes: int) -> tuple[list[int], np.ndarray]:
    """Classes, and boxes (N, 4) as x, y, width, height in fractions of the picture.

    A line has the class and centre, width and height; a sixth number, the confidence, is passed
    over. A line with more numbers has the corners of a polygon, whose box is taken. A file that is
    not there says that there is no object.

    Raises:
        DatasetError: a line is not one of these, or its class is not named.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError) as error:
        raise DatasetError(f"The label file {path} cannot be read ({error}).") from error
    classes, boxes = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words:
            label, box = _read_line(words, f"{path}, line {number}", num_classes)
            classes.append(label)
            boxes.append(box)
    return classes, np.array(boxes, float).reshape(-1, 4)


def _read_line(words: list[str], where: str, num_classes: int) -> tuple[int, list[float]]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise DatasetError(
            f"{where}: {' '.join(words)[:80]!r}; expected a class and numbers, with spaces between."
        ) from error
    label, numbers = int(values[0]), values[1:]
    if values[0] != label or not 0 <= label < num_classes:
        raise DatasetError(
            f"{where}: the class {words[0]} has no name; the set names {num_classes} classes, from "
            "0 on."
        )
    if len(numbers) in (4, 5):
        x, y, width, height = numbers[:4]
        box = [x - width / 2, y - height / 2, width, height]
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        xs, ys = numbers[0::2], numbers[1::2]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    else:
        raise DatasetError(
            f"{where}: {len(numbers)} numbers behind the class; expected 4 of a box, or 6 or more "
            "of a polygon."
        )
    if max(map(abs, numbers[:4])) > _LARGEST_FRACTION:
        raise DatasetError(
            f"{where}: {' '.join(words)[:80]!r} are pixels; expected fractions of the picture, "
            "0 to 1."
        )
    return label, box


_LARGEST_FRACTION = 2.0  # objects may hang over the picture
