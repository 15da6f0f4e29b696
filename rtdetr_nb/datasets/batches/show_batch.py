"""Make a training batch as a run makes it, to look at it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_convert
from torchvision.transforms import v2

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.collate import Batch, as_fractions
from rtdetr_nb.datasets.batches.loader import DetectionLoader, build_dataloader
from rtdetr_nb.datasets.batches.operations import ConvertBoxes
from rtdetr_nb.datasets.batches.shown_batch import BatchPicture, BoxedPicture, ShownBatch
from rtdetr_nb.datasets.batches.transforms import TransformPipeline
from rtdetr_nb.datasets.configured import on_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.errors import UserError

_LONGEST_SIDE = 640  # pixels of a picture that is kept to be drawn


def show_batch(
    config: Config,
    data: DataSource | str | os.PathLike[str] | None = None,
    *,
    pictures: int = 8,
    epoch: int = 0,
    seed: int = 0,
) -> ShownBatch:
    """Show pictures of a training batch as the network sees them, and as they were before.

    They are the first pictures of the first batch that a run of one process with this seed has in
    that epoch: the same order, augmentation and size.

    Args:
        config: of the run.
        data: what `open_data` opened, or the path of a data set, instead of the configured one.
        pictures: at most so many of the batch.
        epoch: counted from 0; some augmentations end in a later one.
        seed: of the run.

    Raises:
        DatasetError: the data set cannot be opened or used, or a picture cannot be decoded.
        ConfigError: an operation, or what it leaves, cannot be used.
        UserError: there are no such pictures or epoch.
    """
    if pictures < 1 or epoch < 0:
        raise UserError(f"pictures is {pictures} and epoch {epoch}; expected 1 and 0, or more.")
    config = config if data is None else on_data(config, data)
    loader = build_dataloader(config, "train", seed=seed, num_workers=0)
    loader.set_position(epoch)
    chosen = list(islice(loader.epoch_sampler, min(pictures, loader.images_per_batch)))
    images, targets = cast(Batch, loader.collate_fn(loader.dataset.__getitems__(chosen)))
    pipeline = _pipeline(loader)
    names = loader.dataset.label_names
    seen = [
        _picture(image, _drawn_boxes(target["boxes"], pipeline, image), target, names)
        for image, target in zip(_unnormalised(images, pipeline, epoch), targets, strict=True)
    ]
    form, fractions = _box_form(pipeline, targets)
    return ShownBatch(
        pictures=tuple(
            BatchPicture(loader.dataset.split.image_path(index), _before(loader, index), after)
            for (_, index), after in zip(chosen, seen, strict=True)
        ),
        size_hw=(images.shape[2], images.shape[3]),
        epoch=epoch,
        seed=seed,
        operations=tuple(name for name, _ in pipeline.active(epoch)),
        box_format=form,
        boxes_are_fractions=fractions,
    )


def _pipeline(loader: DetectionLoader) -> TransformPipeline:
    pipeline = loader.dataset.transforms
    assert isinstance(pipeline, TransformPipeline)  # `build_dataset` makes no other
    return pipeline


def _before(loader: DetectionLoader, index: int) -> BoxedPicture:
    """The picture as annotated, small enough to be kept."""
    image, target = loader.dataset.load(index)
    scale = min(1.0, _LONGEST_SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    factors = torch.tensor([width / image.width, height / image.height]).repeat(2)
    boxes = target["boxes"].as_subclass(Tensor) * factors
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    return _picture(pixels, boxes, target, loader.dataset.label_names)


def _picture(
    image: Tensor, boxes_xyxy: Tensor, target: dict[str, Tensor], names: dict[int, str]
) -> BoxedPicture:
    """An image (3, H, W), bytes or fractions, with boxes in its pixels."""
    pixels = image if image.dtype == torch.uint8 else (image * 255).round().clamp(0, 255).byte()
    labels = target["labels"].tolist()
    return BoxedPicture(
        pixels.permute(1, 2, 0).contiguous().numpy(),
        boxes_xyxy.numpy().astype(float).reshape(-1, 4),
        tuple(names.get(label, f"label {label}") for label in labels),
    )


def _unnormalised(images: Tensor, pipeline: TransformPipeline, epoch: int) -> Tensor:
    """Images (B, 3, H, W) as they were before they were normalised."""
    for _, operation in reversed(pipeline.active(epoch)):
        if isinstance(operation, v2.Normalize):
            mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (operation.mean, operation.std))
            images = as_fractions(images) * std + mean
    return images


def _drawn_boxes(boxes: Tensor, pipeline: TransformPipeline, image: Tensor) -> Tensor:
    """Boxes (N, 4) as the loss gets them, as xyxy in pixels of the image (3, H, W)."""
    height, width = image.shape[1:]
    form, fractions = _box_form(pipeline, [{"boxes": boxes}])
    corners = box_convert(boxes.as_subclass(Tensor), form, "xyxy")
    if fractions:
        return corners * torch.tensor([width, height, width, height])
    # The canvas that the transforms left may have another size than the batch.
    canvas: Any = getattr(boxes, "canvas_size", (height, width))
    return corners * torch.tensor([width / canvas[1], height / canvas[0]]).repeat(2)


def _box_form(pipeline: TransformPipeline, targets: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """Format of the boxes behind the pipeline, and whether they are fractions."""
    boxes = targets[0]["boxes"]
    if isinstance(boxes, tv_tensors.BoundingBoxes):
        return boxes.format.value.lower(), False
    converted = [op for _, op in pipeline.operations if isinstance(op, ConvertBoxes)]
    return next((op.fmt for op in reversed(converted) if op.fmt), "xyxy"), True
