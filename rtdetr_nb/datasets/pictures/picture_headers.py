"""What the headers of the picture files say: turned, deep, of another size than listed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rtdetr_nb.datasets.annotations.notes import FAILURE, NOTE, WARNING, DataNote
from rtdetr_nb.datasets.pictures.picture_file import is_deep, is_turned, orientation_of, used_size
from rtdetr_nb.text.plain_text import counted


@dataclass(frozen=True)
class PictureHeader:
    """What a file says about its picture, without decoding it.

    Attributes:
        size_wh: as the picture is used, turned or not, in pixels.
        mode: Pillow's name for the kind of its values.
        is_turned: it is turned as its EXIF block says.
        is_kept: its EXIF block says to turn it, and its listed size says not to.
    """

    size_wh: tuple[int, int]
    mode: str
    is_turned: bool
    is_kept: bool


def read_header(path: Path, listed_wh: tuple[int, int] | None) -> PictureHeader | None:
    """The header of a file; None for one that is missing or no picture."""
    try:
        with Image.open(path) as image:
            turned = is_turned(image, listed_wh)
            kept = orientation_of(image) != 1 and not turned and listed_wh == image.size
            return PictureHeader(used_size(image, listed_wh), image.mode, turned, kept)
    except Exception:  # noqa: BLE001 - Pillow has errors of many kinds; decoding tells them
        return None


def header_notes(
    paths: Sequence[Path], listed_whs: np.ndarray, where: str, of: int
) -> list[DataNote]:
    """Look at the headers of files, and tell what is done with the pictures.

    Args:
        paths: of the files that are looked at.
        listed_whs: (files, 2) listed widths and heights; 0 where there is none.
        where: the annotation file.
        of: pictures of the whole split.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path, listed in zip(paths, listed_whs.tolist(), strict=True):
        listed_wh = (listed[0], listed[1]) if listed[0] > 0 else None
        header = read_header(path, listed_wh)
        for kind in _kinds(header, listed_wh) if header else ("no pictures",):
            found[kind].append(path.name)
    looked_at = "" if len(paths) == of else f" of the {len(paths):,} that were looked at"
    return [
        DataNote(
            kind=kind,
            level=level,
            what=sentence.format(
                count=f"{counted(len(found[kind]), 'picture')}{looked_at}", first=found[kind][0]
            ),
            where=where,
            action=action,
            count=len(found[kind]),
            official=level != NOTE,
        )
        for kind, (level, sentence, action) in _SENTENCES.items()
        if found[kind]
    ]


_SENTENCES = {
    "no pictures": (
        FAILURE,
        "{count} cannot be opened as pictures (first {first}): the files are empty, broken or of "
        "a kind that Pillow does not know.",
        "Replace the files, or remove their entries. rtdetr-nb check DATA --all lists every one.",
    ),
    "turned pictures": (
        NOTE,
        "{count} lie on their side or head and say so (EXIF), first {first}; they are turned, "
        "which gives them their listed size where one is listed.",
        "",
    ),
    "pictures left unturned": (
        NOTE,
        "{count} say that they lie on their side (EXIF), first {first}, and have their listed "
        "size as they lie; they are not turned.",
        "",
    ),
    "deep pictures": (
        NOTE,
        "{count} have more than 8 bits (first {first}); they are scaled by the range of their "
        "kind.",
        "",
    ),
    "pictures of another size": (
        WARNING,
        "{count} have another size than the file lists (first {first}), turned or not.",
        "Their boxes may be for another picture, or for one of another size: look at them.",
    ),
}


def _kinds(header: PictureHeader, listed_wh: tuple[int, int] | None) -> Iterator[str]:
    if header.is_turned:
        yield "turned pictures"
    if header.is_kept:
        yield "pictures left unturned"
    if is_deep(header.mode):
        yield "deep pictures"
    if listed_wh is not None and listed_wh != header.size_wh:
        yield "pictures of another size"
