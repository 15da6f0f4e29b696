"""The pictures that a probe looks at, decoded and resized once, and the boxes that it names."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.configured import check_same_categories, configured_split
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.diagnostics.measuring.kept_results import digest
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.listing import first_of

# With fewer a class cannot be learnt, and would only blur the figure.
_LEAST_TRAINING_BOXES = 5


@dataclass(frozen=True)
class NamedBoxes:
    """Pictures of one split (uint8, as they will be batched) and their boxes, in pixels of those.

    `names` are those of the categories, `categories` the category of each box of a picture.
    """

    source: Path
    names: dict[int, str]
    images: list[Tensor]
    boxes_xyxy: list[Tensor]
    categories: list[Tensor]

    @property
    def labels(self) -> np.ndarray:
        """Category of every box, in the order of the pictures."""
        return torch.cat(self.categories).numpy()

    @property
    def picture_of_box(self) -> np.ndarray:
        """Place of the picture that every box lies in."""
        return np.repeat(np.arange(len(self.images)), [len(c) for c in self.categories])

    def count_boxes(self) -> np.ndarray:
        """Boxes of each class, (classes,); for classes numbered by `of_classes`."""
        return np.bincount(self.labels, minlength=len(self.names))

    def of_classes(self, names: dict[int, str]) -> NamedBoxes:
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
        return NamedBoxes(self.source, names, images, boxes, labels)


@dataclass(frozen=True)
class ProbeData:
    """What every backbone is probed on: the same boxes of the same pictures.

    Attributes:
        train: what classifiers are fitted on.
        val: what they name.
        image_size: height and width of the pictures.
        notes: what was left out.
    """

    train: NamedBoxes
    val: NamedBoxes
    image_size: int
    notes: tuple[str, ...]

    @property
    def class_names(self) -> list[str]:
        """In the order of the labels."""
        return list(self.train.names.values())

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all pixels, boxes and labels."""
        parts: list[object] = []
        for split in (self.train, self.val):
            for image, boxes, labels in zip(
                split.images, split.boxes_xyxy, split.categories, strict=True
            ):
                parts += [image.numpy(), boxes.numpy(), labels.numpy()]
        return digest(parts)


def read_probe_data(
    config: Config,
    data: DataSource | str | os.PathLike[str] | None,
    image_size: int,
    max_pictures: int,
) -> ProbeData:
    """Decode the pictures that have boxes, and choose the classes that can be learnt.

    Args:
        config: names the data unless `data` is given.
        data: a data set of any layout, or its folder.
        image_size: height and width that pictures are resized to.
        max_pictures: of each split; a larger split is thinned out evenly.

    Raises:
        DatasetError: data that cannot be read, or without enough boxes of two classes.
    """
    notes: list[str] = []
    train, val = (
        _read_split(source, image_size, max_pictures, notes) for source in _splits(config, data)
    )
    names = _probed_classes(train, val, notes)
    return ProbeData(train.of_classes(names), val.of_classes(names), image_size, tuple(notes))


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


def _read_split(source: Split, image_size: int, max_pictures: int, notes: list[str]) -> NamedBoxes:
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
    return NamedBoxes(source.source, source.classes, images, boxes, categories)


def _probed_classes(train: NamedBoxes, val: NamedBoxes, notes: list[str]) -> dict[int, str]:
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
