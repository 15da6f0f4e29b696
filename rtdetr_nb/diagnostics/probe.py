"""The probe: does a backbone carry information about these pictures?

A short loss curve cannot tell, because encoder and decoder start at random and hide what the
backbone knows. The probe leaves them out: the backbone's maps are pooled over the ground-truth
boxes, and a linear classifier, fitted in closed form on the training pictures, names the boxes of
the held-out ones. The same with random weights is what to compare with.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import roi_align
from torchvision.transforms.v2.functional import pil_to_tensor

from rtdetr_nb.checkpoint.tuning.load import load_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.configured import check_same_categories, configured_split
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.diagnostics.effective_rank import effective_rank
from rtdetr_nb.diagnostics.probe_result import ClassAccuracy, ProbeResult
from rtdetr_nb.diagnostics.ridge import fit_ridge
from rtdetr_nb.errors import DatasetError, TuningError
from rtdetr_nb.model.build import build_backbone, build_model
from rtdetr_nb.progress_bar import ProgressBar, progress
from rtdetr_nb.text.listing import first_of

_BATCH = 8
# With fewer a class cannot be learnt, and would only blur the figure.
_LEAST_TRAINING_BOXES = 5


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
    weights, which is what a random start with `freeze_norm: True` keeps for the whole run.

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
    notes: list[str] = []
    sources = _splits(config, data)
    train, val = (_read_split(source, image_size, max_pictures, notes) for source in sources)
    names = _probed_classes(train, val, notes)
    train, val = train.of_classes(names), val.of_classes(names)

    loaded = loaded_backbone(config, tuning)
    with progress("Probe", (loaded is not None) + len(seeds), "backbone") as bar:

        def count_right(backbone: nn.Module) -> tuple[np.ndarray, float]:
            return _count_right(backbone.to(place).eval(), train, val, bins, bar)

        right, rank = (None, None) if loaded is None else count_right(loaded)
        at_random = [count_right(random_backbone(config, seed)) for seed in seeds]
    random = [counts for counts, _ in at_random]
    train_counts, val_counts = train.count_boxes(), val.count_boxes()
    return ProbeResult(
        weights=None if right is None else str(tuning or config.backbone.pretrained),
        accuracy=None if right is None else float(right.sum() / val_counts.sum()),
        random=tuple(float(r.sum() / val_counts.sum()) for r in random),
        chance=float(val_counts[train_counts.argmax()] / val_counts.sum()),
        per_class=_per_class(list(names.values()), train_counts, val_counts, right, random),
        train_boxes=int(train_counts.sum()),
        val_boxes=int(val_counts.sum()),
        image_size=image_size,
        effective_rank=rank,
        random_ranks=tuple(rank for _, rank in at_random),
        seconds=round(time.monotonic() - started, 2),
        notes=tuple(notes),
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


@dataclass(frozen=True)
class _Split:
    """Pictures (uint8, as they will be batched) and their boxes, in pixels of those."""

    source: Path
    names: dict[int, str]
    images: list[Tensor]
    boxes_xyxy: list[Tensor]
    categories: list[Tensor]

    @property
    def labels(self) -> np.ndarray:
        """Category of every box, in the order of the pictures."""
        return torch.cat(self.categories).numpy()

    def count_boxes(self) -> np.ndarray:
        """Boxes of each class, (classes,); for classes numbered by `of_classes`."""
        return np.bincount(self.labels, minlength=len(self.names))

    def of_classes(self, names: dict[int, str]) -> "_Split":
        """Only the boxes of these categories, numbered in their order."""
        numbers = {category: number for number, category in enumerate(names)}
        images, boxes, labels = [], [], []
        for image, rows, categories in zip(
            self.images, self.boxes_xyxy, self.categories, strict=True
        ):
            kept = [i for i, c in enumerate(categories.tolist()) if c in numbers]
            if kept:
                images.append(image)
                boxes.append(rows[kept])
                labels.append(torch.tensor([numbers[c] for c in categories[kept].tolist()]))
        return _Split(self.source, names, images, boxes, labels)


def _splits(
    config: Config, data: DataSource | str | os.PathLike[str] | None
) -> tuple[Split, Split]:
    """The training and the validation pictures, of the configuration or of other data."""
    if data is None:
        train, val = configured_split(config, "train"), configured_split(config, "val")
        check_same_categories(train, val)
        return train, val
    source = open_data(data)
    return source.train, source.val


def _read_split(source: Split, image_size: int, max_pictures: int, notes: list[str]) -> _Split:
    """Pictures that have boxes, resized to squares of `image_size`."""
    dataset = DetectionDataset(source)
    indices = np.flatnonzero(np.diff(source.pictures.starts)).tolist()
    if len(indices) > max_pictures:
        notes.append(
            f"{source.name}: {max_pictures} of {len(indices)} pictures with boxes were used."
        )
        indices = np.asarray(indices)[
            np.linspace(0, len(indices) - 1, max_pictures).astype(int)
        ].tolist()
    images, boxes, categories = [], [], []
    for index in indices:
        image, target = dataset.load(index)
        if len(target["boxes"]):
            scale = image_size / target["orig_size"].repeat(2)
            resized = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
            images.append(pil_to_tensor(resized))
            boxes.append(target["boxes"].as_subclass(Tensor) * scale)
            categories.append(target["labels"])
    if not images:
        raise DatasetError(
            f"{source.source} has no boxes; the probe needs some in both the training and the "
            "validation pictures."
        )
    return _Split(source.source, source.classes, images, boxes, categories)


def _probed_classes(train: _Split, val: _Split, notes: list[str]) -> dict[int, str]:
    """Categories with enough training boxes, by id; says which others are left out."""
    counts = Counter(train.labels.tolist())
    held_out = Counter(val.labels.tolist())
    enough = sorted(c for c, count in counts.items() if count >= _LEAST_TRAINING_BOXES)
    known = {**val.names, **train.names}
    scarce = sorted((counts.keys() | held_out.keys()) - set(enough))
    if scarce:
        shown = first_of([f"{known[c]} ({counts[c]})" for c in scarce], 10)
        notes.append(
            f"{len(scarce)} classes with fewer than {_LEAST_TRAINING_BOXES} training boxes were "
            f"left out: {shown}."
        )
    if len(enough) < 2 or not any(held_out[c] for c in enough):
        raise DatasetError(
            f"The probe needs two classes with at least {_LEAST_TRAINING_BOXES} boxes each in "
            f"{train.source}, and boxes of them in {val.source}; found {len(enough)} such classes "
            f"and {sum(held_out[c] for c in enough)} boxes. Give data with more boxes, or raise "
            "max_pictures."
        )
    absent = [known[c] for c in enough if not held_out[c]]
    if absent:
        notes.append(f"No held-out boxes of: {', '.join(absent)}.")
    return {c: known[c] for c in enough}


def loaded_backbone(config: Config, tuning: str | os.PathLike[str] | None) -> nn.Module | None:
    """The backbone of a tuning file, or of `HGNetv2.pretrained`; None where neither names one."""
    if tuning is None:
        return build_backbone(config) if config.backbone.pretrained else None
    model = build_model(config.override(["HGNetv2.pretrained=False"]))
    load_tuning_file(model, tuning)
    return model.backbone


def random_backbone(config: Config, seed: int) -> nn.Module:
    """A backbone with random weights; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build_backbone(config.override(["HGNetv2.pretrained=False"]))


def _count_right(
    backbone: nn.Module, train: _Split, val: _Split, bins: int, bar: ProgressBar
) -> tuple[np.ndarray, float]:
    """Held-out boxes of each class that are named rightly, (classes,); effective rank of all."""
    num_classes = len(train.names)
    begun = bar.done
    pictures = len(train.images) + len(val.images)

    def advance(count: int) -> None:
        # The classifier takes little beside the features.
        bar.advance(0.95 * count / pictures)

    known, asked = (_features(backbone, split, bins, advance) for split in (train, val))
    for fitted, other in zip(known, asked, strict=True):
        mean, spread = fitted.mean(dim=0), fitted.std(dim=0).clamp(min=1e-6)
        # Every stage weighs the same, however many channels it has.
        weight = fitted.shape[1] ** -0.5
        for features in (fitted, other):
            features.sub_(mean).div_(spread).mul_(weight)
    classifier = fit_ridge(torch.cat(known, dim=1), torch.from_numpy(train.labels), num_classes)
    features = torch.cat(asked, dim=1).double()
    found = classifier.predict(features).numpy()
    right = np.bincount(val.labels[found == val.labels], minlength=num_classes)
    bar.to(begun + 1)
    return right, effective_rank(features)


@torch.no_grad()
def _features(
    backbone: nn.Module, split: _Split, bins: int, advance: Callable[[int], None]
) -> list[Tensor]:
    """For each map of the backbone its means over the boxes, (boxes, channels * bins * bins)."""
    place = next(backbone.parameters()).device
    pooled: list[list[Tensor]] = []
    for start in range(0, len(split.images), _BATCH):
        images = torch.stack(split.images[start : start + _BATCH]).to(place).float() / 255.0
        boxes = [rows.to(place) for rows in split.boxes_xyxy[start : start + _BATCH]]
        maps = backbone(images.contiguous(memory_format=torch.channels_last))
        stages = []
        for x in maps:
            scale = x.shape[-1] / images.shape[-1]
            rows = roi_align(x.contiguous(), boxes, bins, scale, sampling_ratio=2, aligned=True)
            stages.append(rows.flatten(1).double().cpu())
        pooled.append(stages)
        advance(len(images))
    joined = [torch.cat(stage) for stage in zip(*pooled, strict=True)]
    if not all(bool(stage.isfinite().all()) for stage in joined):
        raise TuningError(
            "With these weights the backbone's output is not finite, so there is nothing to probe. "
            "`rtdetr-nb diff` shows which tensors of the file are unsound."
        )
    return joined
