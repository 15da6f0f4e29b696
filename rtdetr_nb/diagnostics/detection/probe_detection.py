"""A detector on frozen features: what a backbone's maps are worth, in half a minute.

Encoder and decoder start at random and hide for thousands of steps what the backbone knows. Here
they are left out: the maps of all pictures are computed once and reduced, and only a small
anchor-free head learns, from the same seed for every backbone.
"""

import os
import time
from collections.abc import Callable

import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.detection.job import percentile_interval, prepare_job
from rtdetr_nb.diagnostics.detection.result import (
    DetectionProbe,
    DetectionRecord,
    DetectionScore,
    shown_pictures,
)
from rtdetr_nb.diagnostics.measuring.backbones import loaded_backbone
from rtdetr_nb.progress_bar import progress


def probe_detection(
    config: Config,
    tuning: str | os.PathLike[str] | None = None,
    data: DataSource | str | os.PathLike[str] | None = None,
    *,
    random: bool = True,
    steps: int = 200,
    image_size: int = 256,
    max_pictures: int = 256,
    channels: int = 64,
    seed: int = 0,
    device: str | torch.device | None = None,
    on_record: Callable[[DetectionRecord], None] = lambda record: None,
) -> DetectionProbe:
    """Train a small detector on the frozen features of a backbone, and of random weights.

    Norms use the statistics they have, as in `probe_backbone`. What random weights reach is
    computed once for these pictures and settings, and kept.

    Args:
        config: names the backbone and, unless `data` is given, the data.
        tuning: file with the weights. None probes those of `HGNetv2.pretrained`, if that names a
            file, or else random weights alone.
        data: a data set of any layout, or its folder, instead of the configured data.
        random: whether random weights are probed beside those of the file.
        steps: optimizer updates of the head.
        image_size: height and width that pictures are resized to, a multiple of 32.
        max_pictures: of each split; a larger split is thinned out evenly.
        channels: that each map is reduced to.
        seed: of the head, the order of pictures, the random weights and the sets for the interval.
        device: where it runs; by default a GPU if there is one.
        on_record: called now and then with how far a training is and the AP that it has reached.

    Raises:
        DatasetError: data that cannot be read, or without boxes.
        ConfigError: a number that cannot be used.
        UserError: a tuning file that cannot be used.
    """
    started = time.monotonic()
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    backbone = loaded_backbone(config, tuning)
    weights = None if backbone is None else str(tuning or config.backbone.pretrained)
    is_compared = random or backbone is None
    with progress("Detector", (backbone is not None) + is_compared, "backbone") as bar:
        bar.say("decoding pictures")
        job = prepare_job(
            config, data, bar, steps=steps, image_size=image_size, max_pictures=max_pictures,
            channels=channels, seed=seed, device=place, on_record=on_record,
        )  # fmt: skip
        loaded = None if backbone is None else job.score(job.run(backbone, weights or ""))
        by_chance = job.score(job.run_at_random(config, seed)) if is_compared else None
    return DetectionProbe(
        weights=weights,
        loaded=loaded,
        random=by_chance,
        difference=_difference(loaded, by_chance),
        pictures=(len(job.train), len(job.val)),
        boxes=(job.train.num_boxes, job.val.num_boxes),
        steps=steps,
        image_size=image_size,
        shown=shown_pictures(job.val, loaded, by_chance),
        notes=job.notes,
        seconds=round(time.monotonic() - started, 2),
    )


def _difference(
    first: DetectionScore | None, second: DetectionScore | None
) -> tuple[float, float] | None:
    """Interval of the difference, set by set."""
    if first is None or second is None:
        return None
    return percentile_interval(first.resampled - second.resampled, first.ap - second.ap)
