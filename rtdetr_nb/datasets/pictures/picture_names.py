"""Which file is meant by the name that an annotation file has for a picture."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from rtdetr_nb.datasets.annotations.notes import FAILURE, NOTE, WARNING, DataNote
from rtdetr_nb.datasets.annotations.packed_texts import PackedTexts
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

PICTURE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_MOST_FILES = 2_000_000  # of a tree that is walked to find what is meant


@dataclass(frozen=True)
class FoundPictures:
    """Files of pictures.

    Attributes:
        paths: relative to the folder; of a missing picture, the name as it was given.
        missing: places of the pictures that there is no file for.
        notes: what was taken for what, and what is missing.
    """

    paths: PackedTexts
    missing: tuple[int, ...]
    notes: tuple[DataNote, ...]


def find_pictures(folder: Path, names: PackedTexts, source: Path) -> FoundPictures:
    """Look for all pictures at once, with one listing a folder.

    A name that no file has stands for the one file that it is another spelling of: with
    backslashes, another normal form of Unicode, other capitals, `%20`, with folders in front that
    the folder has already, or with the ending of another kind of picture. A file that another
    picture has is never taken.

    Args:
        folder: that the names are relative to.
        names: as the annotations have them.
        source: the annotation file, for the notes.
    """
    listed = list(names)
    exists = _exact(folder, listed)
    absent = [place for place, there in enumerate(exists) if not there]
    notes = _told_twice(listed, source)
    if not absent:
        return FoundPictures(names, (), tuple(notes))
    taken = {os.path.normpath(name) for name, there in zip(listed, exists, strict=True) if there}
    meant = _meant(folder, [listed[place] for place in absent], taken)
    missing = tuple(place for place in absent if listed[place] not in meant)
    paths = PackedTexts.of(meant.get(name, name) for name in listed) if meant else names
    notes += [*_told(meant, source), *_told_missing(folder, [listed[i] for i in missing], source)]
    return FoundPictures(paths, missing, tuple(notes))


def _exact(folder: Path, names: Iterable[str]) -> list[bool]:
    """Whether there is a file of just that name."""
    listings: dict[str, set[str]] = {}
    found = []
    for name in names:
        parent, slash, base = name.rpartition("/")
        listing = listings.get(parent + slash)
        if listing is None:
            listing = listings[parent + slash] = _files_in(os.path.join(folder, parent + slash))
        found.append(base in listing)
    return found


def _files_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_dir()}
    except (OSError, ValueError):  # a name may hold what no system takes
        return set()


def _meant(folder: Path, names: list[str], taken: set[str]) -> dict[str, str]:
    """The file that each name stands for; a name that could be several, or none, is left out."""
    others = [path for path in _walk(folder) if os.path.normpath(path) not in taken]
    meant = _fitting(names, others, _parts)
    # Pictures that were converted have another ending; labels often keep the old one.
    rest = [name for name in names if name not in meant]
    free = set(others).difference(meant.values()) if rest else ()
    converted = [path for path in free if Path(path).suffix.lower() in PICTURE_SUFFIXES]
    return meant | _fitting(rest, converted, _parts_without_ending)


def _fitting(names: Iterable[str], paths: Iterable[str], parts_of: _Parts) -> dict[str, str]:
    """The path that each name stands for by its parts."""
    wanted = {parts_of(name)[-1] for name in names if parts_of(name)}
    by_base: dict[str, list[str]] = defaultdict(list)
    for path in paths if wanted else ():
        base = parts_of(path)[-1]
        if base in wanted:
            by_base[base].append(path)
    meant, owners = {}, defaultdict(set)
    for name in set(names):
        parts = parts_of(name)
        path = _only_fit(parts, by_base[parts[-1]], parts_of) if parts else None
        if path is not None:
            meant[name] = path
            owners[path].add(name)
    # A file that two names could stand for stands for neither.
    return {name: path for name, path in meant.items() if len(owners[path]) == 1}


def _walk(folder: Path) -> Iterable[str]:
    """All files below a folder, relative to it."""
    count = 0
    for root, _, files in os.walk(folder):
        for name in files:
            count += 1
            if count > _MOST_FILES:
                return
            yield os.path.relpath(os.path.join(root, name), folder)


def _only_fit(parts: tuple[str, ...], paths: list[str], parts_of: _Parts) -> str | None:
    """The one path that the name ends with; one that is the whole name comes first."""
    ending = [path for path in paths if parts[-len(parts_of(path)) :] == parts_of(path)]
    chosen = [path for path in ending if parts_of(path) == parts] or ending
    return chosen[0] if len(chosen) == 1 else None


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path, without what is spelled in several ways."""
    plain = unicodedata.normalize("NFC", unquote(name).replace("\\", "/")).casefold()
    return tuple(part.strip() for part in plain.split("/") if part.strip() not in ("", ".", ".."))


def _parts_without_ending(name: str) -> tuple[str, ...]:
    parts = _parts(name)
    return (*parts[:-1], Path(parts[-1]).stem) if parts else ()


_Parts = Callable[[str], tuple[str, ...]]


def _told(meant: dict[str, str], source: Path) -> list[DataNote]:
    if not meant:
        return []
    name = min(meant)
    return [
        DataNote(
            kind="names of pictures",
            level=NOTE,
            what=f"{counted(len(meant), 'picture')} lie under another spelling of their name; "
            f"{meant[name]!r} is taken for {name!r}.",
            where=str(source),
            count=len(meant),
            official=False,
        )
    ]


def _told_twice(names: list[str], source: Path) -> list[DataNote]:
    twice = len(names) - len(set(names))
    if not twice:
        return []
    counts = Counter(names)
    return [
        DataNote(
            kind="pictures under two ids",
            level=WARNING,
            what=f"{counted(twice, 'entry', 'entries')} of images name a file that another entry "
            f"has too (first {next(name for name in names if counts[name] > 1)}).",
            where=str(source),
            why="Each shows only its own boxes; the others' are taken for background.",
            action="Give each file one entry.",
            count=twice,
        )
    ]


def _told_missing(folder: Path, names: list[str], source: Path) -> list[DataNote]:
    if not names:
        return []
    there = "" if folder.is_dir() else f"There is no folder {folder}. "
    return [
        DataNote(
            kind="missing pictures",
            level=FAILURE,
            what=f"{there}There is no picture {first_of(names)} in {folder}, which {source} "
            "lists; names with other slashes, capitals, normal forms and endings, and without the "
            "folders in front, were tried.",
            action="Check that img_folder is the folder that the file names are relative to, or "
            "remove their entries.",
            count=len(names),
        )
    ]
