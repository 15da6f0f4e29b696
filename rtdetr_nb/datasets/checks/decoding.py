"""Decodes pictures in parallel and lists every one that cannot be decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rtdetr_nb.datasets.pictures.picture_file import read_picture
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.progress_bar import progress

SAMPLE = 256
"""Pictures of a split that are decoded as a sample, at equal distances in its order."""


@dataclass(frozen=True)
class BrokenPicture:
    """A picture file that cannot be decoded, and why."""

    path: Path
    reason: str


def sample_of(split: Split) -> Split:
    """Return at most `SAMPLE` pictures of a split, at equal distances in its order."""
    return split.evenly(SAMPLE)


def broken_pictures(splits: Sequence[Split]) -> list[BrokenPicture]:
    """Decode every picture of the splits that has a file, on all cores.

    Returns:
        Those that cannot be decoded, in the order of the splits.
    """
    jobs = [job for split in splits for job in _jobs(split)]
    if not jobs:
        return []
    broken = []
    with progress("Decoding", len(jobs), "picture") as bar:
        for path, reason in _decode_all(jobs):
            if reason:
                broken.append(BrokenPicture(path, reason))
            bar.advance()
    return broken


_Job = tuple[Path, tuple[int, int] | None]


def _jobs(split: Split) -> Iterator[_Job]:
    missing = set(split.missing)
    for index in range(len(split)):
        if index not in missing:
            yield split.image_path(index), split.listed_size_wh(index)


def _decode_all(jobs: Sequence[_Job]) -> Iterator[tuple[Path, str]]:
    # Threads suffice: Pillow decodes without the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(_try_to_decode, jobs)


def _try_to_decode(job: _Job) -> tuple[Path, str]:
    path, listed_wh = job
    try:
        read_picture(path, listed_wh)
    # Pillow reports damage by OSError, SyntaxError, ValueError and errors of other kinds.
    except Exception as error:  # noqa: BLE001
        return path, f"{type(error).__name__}: {error}"
    return path, ""
