"""The probe: does a backbone carry information about these pictures?

A short loss curve cannot tell, because encoder and decoder start at random and hide what the
backbone knows. The probe leaves them out: the backbone's maps are pooled over the ground-truth
boxes, and a linear classifier, fitted in closed form on the training pictures, names the boxes of
the held-out ones. The same with random weights is what to compare with.
"""

import os
import time
from collections.abc import Sequence

import numpy as np
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.measuring.backbones import loaded_backbone
from rtdetr_nb.diagnostics.probing.named_boxes import read_probe_data
from rtdetr_nb.diagnostics.probing.naming import name_boxes, name_boxes_at_random
from rtdetr_nb.diagnostics.probing.result import ClassAccuracy, ProbeResult
from rtdetr_nb.progress_bar import progress


def probe_backbone(
    config: Config,
    tuning: str | os.PathLike[str] | None = None,
    data: DataSource | str | os.PathLike[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    device: str | torch.device | None = None,
    image_size: int = 256,
    max_pictures: int = 256,
    bins: int = 2,
) -> ProbeResult:
    """Probe the backbone of a tuning file against random weights.

    Norms use the statistics they have: those of the file, and mean 0, variance 1 for random
    weights, which is what a random start with `freeze_norm: True` keeps for the whole run. What
    random weights know of these pictures is computed once and kept.

    Args:
        config: names the backbone and, unless `data` is given, the data.
        tuning: file with the weights. None probes those of `HGNetv2.pretrained`, if that names a
            file, or else random weights alone.
        data: a data set of any layout, or its folder, instead of the configured data.
        seeds: of the random weights.
        device: where the backbone runs; by default a GPU if there is one.
        image_size: height and width that pictures are resized to, a multiple of 32.
        max_pictures: of each split; a larger split is thinned out evenly.
        bins: a box is pooled to so many rows and columns.

    Raises:
        DatasetError: data that cannot be read, or without enough boxes of two classes.
        UserError: a tuning file that cannot be used.
    """
    started = time.monotonic()
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = loaded_backbone(config, tuning)
    with progress("Probe", (loaded is not None) + len(seeds), "backbone") as bar:
        bar.say("decoding pictures")
        boxes = read_probe_data(config, data, image_size, max_pictures)
        bar.say("the loaded weights")
        named = None if loaded is None else name_boxes(loaded, boxes, bins, place, bar)
        bar.say("random weights")
        at_random = [name_boxes_at_random(config, seed, boxes, bins, place, bar) for seed in seeds]
    right = None if named is None else named.count_right(boxes)
    train_counts, val_counts = boxes.train.count_boxes(), boxes.val.count_boxes()
    return ProbeResult(
        weights=None if named is None else str(tuning or config.backbone.pretrained),
        accuracy=None if named is None else named.accuracy,
        random=tuple(naming.accuracy for naming in at_random),
        chance=float(val_counts[train_counts.argmax()] / val_counts.sum()),
        per_class=_per_class(
            boxes.class_names,
            train_counts,
            val_counts,
            right,
            [naming.count_right(boxes) for naming in at_random],
        ),
        train_boxes=int(train_counts.sum()),
        val_boxes=int(val_counts.sum()),
        image_size=image_size,
        effective_rank=None if named is None else named.effective_rank,
        random_ranks=tuple(naming.effective_rank for naming in at_random),
        seconds=round(time.monotonic() - started, 2),
        notes=boxes.notes,
    )


def _per_class(
    names: list[str],
    train_counts: np.ndarray,
    val_counts: np.ndarray,
    right: np.ndarray | None,
    random: list[np.ndarray],
) -> tuple[ClassAccuracy, ...]:
    """Shares of counts, class by class."""
    rows = []
    for number, name in enumerate(names):
        total = int(val_counts[number])
        loaded = float(right[number] / total) if right is not None and total else None
        rows.append(
            ClassAccuracy(
                name=name,
                train_boxes=int(train_counts[number]),
                val_boxes=total,
                accuracy=loaded,
                random=tuple(float(r[number] / total) for r in random) if total else (),
            )
        )
    return tuple(rows)
