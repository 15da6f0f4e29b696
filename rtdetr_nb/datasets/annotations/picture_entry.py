"""The pictures that a COCO-format file lists."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rtdetr_nb.datasets.annotations.ids import Id, are_numbers, id_of
from rtdetr_nb.datasets.annotations.json_parts import decode_whole
from rtdetr_nb.datasets.annotations.tally import Tally
from rtdetr_nb.errors import DatasetError

MENDED = {
    "picture ids in quotes": "{count} pictures have ids in quotes (first {first}); they are those "
    "numbers.",
    "picture ids as text": "{count} pictures have ids that are texts, or too large for a number "
    "(first {first}); they get numbers in the order of the file.",
    "size in quotes": "{count} sizes of pictures are texts (first {first}); they are read as "
    "numbers.",
    "no size": "{count} pictures have no width and height (first {first}); the files' are taken.",
    "picture twice": "{count} pictures are listed twice with one id (first {first}); each is taken "
    "once.",
}


class PictureEntry(Struct, gc=False, rename={"name": "file_name"}):
    """A listed picture; width and height are 0 where the file does not say them."""

    id: Id
    name: str
    width: int
    height: int


def decode_pictures(raw: Raw, tally: Tally) -> list[PictureEntry]:
    """Read the list `images` of a file.

    Raises:
        DatasetError: as in `read_pictures`.
    """
    found = list(decode_whole(raw, PictureEntry))
    if {type(entry.id) for entry in found} == {int} and all(entry.name for entry in found):
        return _each_once(found, tally)
    return read_pictures(msgspec.json.decode(raw, type=list), tally)


def read_pictures(entries: Sequence[Any], tally: Tally) -> list[PictureEntry]:
    """Read entries that may be written in any way.

    Raises:
        DatasetError: an entry has no id or file name, or two have one id.
    """
    read = [_read_picture(entry, place, tally) for place, entry in enumerate(entries)]
    return _each_once(read, tally)


def _each_once(entries: list[PictureEntry], tally: Tally) -> list[PictureEntry]:
    found = {entry.id: entry for entry in reversed(entries)}
    if len(found) < len(entries):
        for entry in entries:
            _check_twice(found[entry.id], entry, tally)
        entries = list(reversed(found.values()))
    if not are_numbers(found):
        for each in found:
            if not are_numbers([each]):
                tally.add("picture ids as text", repr(each))
    return entries


def _check_twice(first: PictureEntry, entry: PictureEntry, tally: Tally) -> None:
    """Refuse two pictures of one id; count one picture that is listed twice."""
    if first.name != entry.name:
        raise DatasetError(
            f"The annotation file {tally.where}: two pictures have the id {entry.id!r}: "
            f"{first.name} and {entry.name}. Boxes of the one would be taken for the other's; "
            "give each picture its own id."
        )
    if first is not entry:
        tally.add("picture twice", entry.name)


def _read_picture(entry: Any, place: int, tally: Tally) -> PictureEntry:
    is_whole = isinstance(entry, Mapping) and isinstance(entry.get("file_name"), str)
    picture_id = id_of(entry.get("id")) if is_whole else None
    if picture_id is None or not entry["file_name"].strip():
        raise DatasetError(
            f"The annotation file {tally.where}: entry {place} of images is {str(entry)[:80]}; "
            "expected an object with id and file_name."
        )
    name = entry["file_name"]
    if isinstance(entry["id"], str) and isinstance(picture_id, int):
        tally.add("picture ids in quotes", repr(entry["id"]))
    width, height = (_read_size(entry.get(key), name, tally) for key in ("width", "height"))
    if not (width > 0 and height > 0):
        tally.add("no size", name)
        width = height = 0
    return PictureEntry(picture_id, name, width, height)


def _read_size(value: Any, name: str, tally: Tally) -> int:
    if value is None or isinstance(value, bool):
        return 0
    if isinstance(value, str) and value.strip():
        tally.add("size in quotes", name)
    try:
        return int(float(value)) if value != "" else 0
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            f"The annotation file {tally.where}: the picture {name} has the size {value!r}; "
            "expected a number of pixels, or none."
        ) from error
