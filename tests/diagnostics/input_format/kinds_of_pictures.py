"""Pictures of several kinds, most of them far from what any backbone was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from rtdetr_nb.diagnostics.measuring.pictures import picture_paths, read_pictures
from tests.diagnostics.input_format.corpus import ROOT

_COUNT, _SIZE = 12, 128


def shapes(count: int, size: int) -> Tensor:
    """Validation pictures of the shapes sample, RGB, values 0 to 1."""
    return read_pictures(picture_paths(ROOT / "data" / "shapes", count), size)[0]


def noise() -> Tensor:
    return torch.rand(_COUNT, 3, _SIZE, _SIZE, generator=torch.Generator().manual_seed(0))


def gradients() -> Tensor:
    """Slow changes of colour, without any edge."""
    corners = torch.rand(_COUNT, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(corners, size=(_SIZE, _SIZE), mode="bilinear")


def screens() -> Tensor:
    """Lines of something like text, dark on light and light on dark."""
    random = np.random.default_rng(0)
    pictures = []
    for index in range(_COUNT):
        light = index % 2 == 0
        pixels = np.full((_SIZE, _SIZE, 3), 250 if light else 30, np.uint8)
        pixels[:12] = random.integers(0, 255, 3)
        for y in range(16, _SIZE - 6, 7):
            x, end = 4, int(random.integers(50, _SIZE - 4))
            while x < end:
                width = int(random.integers(1, 7))
                ink = random.integers(0, 90) if light else random.integers(150, 255)
                pixels[y : y + 4, x : x + width] = ink
                x += width + 2
        pictures.append(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
    return torch.stack(pictures)


def kinds_of_pictures() -> dict[str, Tensor]:
    """Name of the kind -> RGB pictures (N, 3, H, W), values 0 to 1."""
    known = shapes(16, 256)
    return {
        "shapes": known,
        "one picture": known[:1],
        "dark": known * 0.1,
        "bright": 0.6 + 0.4 * known,
        "grey": known.mean(dim=1, keepdim=True).expand_as(known),
        "screens": screens(),
        "gradients": gradients(),
        "noise": noise(),
    }


def write_kinds(folder: Path) -> dict[str, list[Path]]:
    """The same as files without loss."""
    written: dict[str, list[Path]] = {}
    for kind, pictures in kinds_of_pictures().items():
        place = folder / kind
        place.mkdir(parents=True)
        for index, picture in enumerate(pictures):
            path = place / f"{index:02}.png"
            image: Image.Image = to_pil_image(picture)
            image.save(path)
            written.setdefault(kind, []).append(path)
    return written
