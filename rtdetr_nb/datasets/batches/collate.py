"""From samples to a batch, at one of several sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rtdetr_nb.datasets.batches.seeding import derive_seed
from rtdetr_nb.errors import ConfigError

Target = dict[str, Tensor]
Batch = tuple[Tensor, list[Target]]


@dataclass(frozen=True)
class BatchCollate:
    """Stacks pictures; until `stop_epoch` resizes each batch to a size drawn from `scales`.

    The size is keyed by the seed, the epoch and the first sample's index, so it does not depend on
    the worker that makes the batch. Boxes are fractions of the image by then, and stay as they are.

    Attributes:
        scales: heights and widths in pixels to draw from, repeated ones more often; None never
            resizes.
        stop_epoch: the first epoch, counted from 0, that sees the pictures as the transforms made
            them; None resizes in every epoch.
        seed: of the run.
    """

    scales: tuple[int, ...] | None = None
    stop_epoch: int | None = None
    seed: int = 0

    def __call__(self, samples: Sequence[tuple[Any, Target]]) -> Batch:
        """Samples (image (3, H, W), target) to images (B, 3, S, S) and the list of targets.

        Images stay what they are: bytes, or floats.

        Raises:
            ConfigError: the transforms left pictures that are no tensors or differ in size.
        """
        images = _of_one_size([image for image, _ in samples])
        targets = [target for _, target in samples]
        epoch, index = int(targets[0]["epoch"]), int(targets[0]["idx"])
        if self.scales and (self.stop_epoch is None or epoch < self.stop_epoch):
            rng = np.random.default_rng(derive_seed(self.seed, epoch, index))
            return _resized(images, int(rng.choice(self.scales))), targets
        return torch.stack(images), targets


def as_fractions(images: Tensor) -> Tensor:
    """Bytes 0..255 as float32 0..1, and floats as they are; the same on every device.

    CUDA multiplies by the inverse of a plain number instead of dividing, and loses the last bit.
    """
    if images.dtype != torch.uint8:
        return images
    return images.float().div_(torch.full((), 255.0, device=images.device))


def _resized(images: list[Tensor], side: int) -> Tensor:
    """A batch (B, 3, side, side) of images (3, H, W)."""
    # Parity: the official code resizes by the default mode, nearest.
    if images[0].shape[-2:] == (side, side):
        return torch.stack(images)
    if images[0].dtype == torch.uint8:
        return _resized_bytes(images, side)
    return F.interpolate(torch.stack(images), size=side)


def _resized_bytes(images: list[Tensor], side: int) -> Tensor:
    """The same by NumPy, twice as fast on bytes: channels become planes on the way."""
    channels, height, width = images[0].shape
    rows, columns = _nearest(height, side), _nearest(width, side)
    # Of a row of pixels as it lies in memory: all red ones, then all green ones, then all blue.
    places = (columns * channels + np.arange(channels)[:, None]).ravel()
    batch = np.empty((len(images), channels, side, side), np.uint8)
    for image, planes in zip(images, batch, strict=True):
        pixels = image.permute(1, 2, 0).numpy().reshape(height, width * channels)
        sampled = pixels.take(places, axis=1).reshape(height, channels, side)
        np.copyto(planes, sampled.take(rows, axis=0).transpose(1, 0, 2))
    return torch.from_numpy(batch)


def _nearest(old: int, new: int) -> np.ndarray:
    """For each of the new positions the old one, as torch itself computes it: (new,)."""
    places = torch.arange(old, dtype=torch.float32)[None, None]
    return F.interpolate(places, size=new)[0, 0].long().numpy()


def _of_one_size(images: list[Any]) -> list[Tensor]:
    if not all(isinstance(image, Tensor) for image in images):
        raise ConfigError(
            f"The transforms leave pictures as {type(images[0]).__name__}; expected tensors. Add "
            "{type: ConvertPILImage, dtype: float32, scale: True} to dataset.transforms.ops."
        )
    sizes = sorted({tuple(image.shape[-2:]) for image in images})
    if len(sizes) > 1:
        raise ConfigError(
            f"The transforms leave pictures of different sizes (height, width): {sizes}; a batch "
            "needs one. Add {type: Resize, size: [640, 640]} to dataset.transforms.ops."
        )
    return [image.as_subclass(Tensor) for image in images]
