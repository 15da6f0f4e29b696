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

        Raises:
            ConfigError: the transforms left pictures that are no tensors or differ in size.
        """
        images = torch.stack(_of_one_size([image for image, _ in samples]))
        targets = [target for _, target in samples]
        epoch, index = int(targets[0]["epoch"]), int(targets[0]["idx"])
        if self.scales and (self.stop_epoch is None or epoch < self.stop_epoch):
            rng = np.random.default_rng(derive_seed(self.seed, epoch, index))
            # Parity: the official code resizes by the default mode, nearest.
            images = F.interpolate(images, size=int(rng.choice(self.scales)))
        return images, targets


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
