"""Loading the training data in one process: pictures a second, and what share of a step that is.

The full augmentation is also timed against its straightforward form, batch by batch in turn.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.bench_step import BATCH_SIZE, IMAGE_SIZE, step_function
from bench.straightforward_data import StraightforwardTransforms
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.batches.loader import DetectionLoader, build_dataloader
from rtdetr_nb.datasets.quick_run import quick_run_config

DATA = Path(__file__).parent.parent / "data" / "shapes"
PICTURES = 64

Result = tuple[str, float, str]


def run() -> list[Result]:
    """Time both and return (name, ratio, explanation)."""
    light = quick_run_config(DATA, image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)
    full = load_config("rtdetrv2_hgnetv2_l").with_values(
        {
            "num_classes": light.num_classes,
            "remap_mscoco_category": False,
            "train_dataloader.dataset.img_folder": light.train_dataloader.dataset.img_folder,
            "train_dataloader.dataset.ann_file": light.train_dataloader.dataset.ann_file,
            "train_dataloader.total_batch_size": BATCH_SIZE,
        }
    )
    seconds, seconds_full = _seconds_a_picture(light), _seconds_a_picture(full)
    step = step_function()
    step()  # the first one prepares
    share = seconds * BATCH_SIZE / step()
    return [
        (
            f"data {IMAGE_SIZE} px",
            share,
            f"{1 / seconds:.0f} pictures a second, against a float32 step of the same size",
        ),
        (
            "data 640 px, full augmentation",
            seconds_full / seconds,
            f"{1 / seconds_full:.0f} pictures a second, against the row above",
        ),
        (
            "loader 640 px, full augmentation",
            _ratio_to_straightforward(full),
            "one process, against torchvision's operations one after the other",
        ),
    ]


def _seconds_a_picture(config: Config) -> float:
    """Median over the batches of one epoch, or as many as make `PICTURES`."""
    loader = build_dataloader(config, "train", num_workers=0)
    loader.set_position(0, 0)
    times = []
    began = time.perf_counter()
    for _ in loader:
        times.append(time.perf_counter() - began)
        if len(times) * BATCH_SIZE >= PICTURES:
            break
        began = time.perf_counter()
    return sorted(times)[len(times) // 2] / BATCH_SIZE


def _ratio_to_straightforward(config: Config) -> float:
    """Median over batches of our seconds by those of the straightforward form, in turn."""
    ours, plain = (build_dataloader(config, "train", num_workers=0) for _ in range(2))
    transforms = config.train_dataloader.dataset.transforms
    plain.dataset.transforms = StraightforwardTransforms(transforms.ops, transforms.policy)
    pairs = list(zip(_batch_seconds(ours), _batch_seconds(plain), strict=True))
    return statistics.median(ours / plain for ours, plain in pairs[1:])  # the first one prepares


def _batch_seconds(loader: DetectionLoader) -> Iterator[float]:
    """Seconds of each batch of two epochs."""
    for epoch in range(2):
        loader.set_position(epoch)
        batches = iter(loader)
        for _ in range(len(loader)):
            began = time.perf_counter()
            next(batches)
            yield time.perf_counter() - began
