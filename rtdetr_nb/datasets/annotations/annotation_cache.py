"""Annotation files are read once a process while they stay the same, however many ask for them."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from rtdetr_nb.datasets.annotations.annotation_file import read_annotation_file
from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures

T = TypeVar("T")

_KEPT = 8  # results; COCO's own takes about 90 MB
_cache: OrderedDict[Hashable, Any] = OrderedDict()


def read_once(path: Path) -> LabelledPictures:
    """As `read_annotation_file`; a file of the same size and time is not read again.

    Raises:
        DatasetError: it cannot be used.
    """
    # The path as given: it stands in what is told.
    return remembered(os.path.abspath(path), [path], lambda: read_annotation_file(path))


def remembered(name: Hashable, files: Iterable[Path], read: Callable[[], T]) -> T:
    """What `read` returns, or returned before for the same files of the same sizes and times.

    Args:
        name: of what is read, with all that it depends on beside the files.
        files: that are read; one that is not there counts as such.
        read: reads them. What it returns is never changed.
    """
    key = (name, _fingerprint(files))
    if key not in _cache:
        _cache[key] = read()
        while len(_cache) > _KEPT:
            _cache.popitem(last=False)
    _cache.move_to_end(key)
    return _cache[key]


def _fingerprint(files: Iterable[Path]) -> bytes:
    """A digest of names, sizes and times: of a hundred thousand files in half a second."""
    digest = hashlib.sha256()
    for path in files:
        try:
            status = os.stat(path)
            facts = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\n"
        except (OSError, ValueError):
            facts = f"{path}\0absent\n"
        digest.update(facts.encode("utf-8", "surrogateescape"))
    return digest.digest()
