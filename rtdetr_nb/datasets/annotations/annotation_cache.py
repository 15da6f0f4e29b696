"""Annotation files are read once a process, however many ask for them."""

import os
from collections import OrderedDict
from pathlib import Path

from rtdetr_nb.datasets.annotations.annotation_file import read_annotation_file
from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures

_KEPT = 8  # files; COCO's own takes about 90 MB
_cache: OrderedDict[tuple[str, int, int], LabelledPictures] = OrderedDict()


def read_once(path: Path) -> LabelledPictures:
    """As `read_annotation_file`; a file of the same size and time is not read again.

    Raises:
        DatasetError: it cannot be used.
    """
    try:
        status = os.stat(path)
    except OSError:
        return read_annotation_file(path)  # which says what is wrong
    # The path as given: it stands in what is told.
    key = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
    if key not in _cache:
        _cache[key] = read_annotation_file(path)
        while len(_cache) > _KEPT:
            _cache.popitem(last=False)
    _cache.move_to_end(key)
    return _cache[key]
