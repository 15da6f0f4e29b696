"""Look at a data set before a run does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rtdetr_nb.datasets.checks.box_counts import count_classes, count_odd_boxes
from rtdetr_nb.datasets.checks.decoding import broken_pictures, sample_of
from rtdetr_nb.datasets.checks.findings import find_all
from rtdetr_nb.datasets.checks.looked import Looked
from rtdetr_nb.datasets.checks.report import DataReport
from rtdetr_nb.datasets.checks.same_bytes import same_bytes
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import UserError

PICTURES = ("none", "sample", "all")


def check_data(
    data: DataSource | str | os.PathLike[str],
    pictures: str = "sample",
    *,
    num_queries: int = 300,
    num_denoising: int = 100,
) -> DataReport:
    """Say what is in a data set, and what is wrong with it.

    Args:
        data: what `open_data` opened, or the path of a data set of any layout.
        pictures: which pictures are decoded: "none" looks at names, labels and headers alone (a
            second or two for a data set of COCO's size), "sample" at 256 of each split, "all" at
            every one. But for "none", files with the same bytes are looked for too.
        num_queries: detections that the decoder can make, `RTDETRTransformerv2.num_queries`.
        num_denoising: pairs of denoising queries, `RTDETRTransformerv2.num_denoising`.

    Raises:
        DatasetError: the data set cannot be opened.
        UserError: `pictures` is another word.
    """
    if pictures not in PICTURES:
        raise UserError(f"pictures is {pictures!r}; expected one of {', '.join(PICTURES)}.")
    source = open_data(data)
    splits = (source.train, source.val)
    chosen = {"none": (), "sample": tuple(map(sample_of, splits)), "all": splits}[pictures]
    broken = tuple(broken_pictures(chosen))
    looked = Looked(
        source=source,
        num_queries=num_queries,
        num_denoising=num_denoising,
        classes={split.name: count_classes(split) for split in splits},
        odd={split.name: count_odd_boxes(split) for split in splits},
        broken=broken,
        twins=[] if pictures == "none" else same_bytes(_paths(splits)),
    )
    return DataReport(
        source=source,
        pictures=pictures,
        decoded=sum(len(split) - len(split.missing) for split in chosen),
        findings=tuple(find_all(looked)),
        classes=looked.classes,
        odd=looked.odd,
        broken=broken,
    )


def _paths(splits: Iterable[Split]) -> Iterable[Path]:
    """The files of all pictures, each once."""
    return dict.fromkeys(split.image_path(i) for split in splits for i in range(len(split)))
