"""What the maps of a backbone look like: their first principal components as colours.

A backbone that knows something paints objects in other colours than the ground; random weights
paint edges and brightness. It says in a second what the probe says in a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.measuring.effective_rank import effective_rank
from rtdetr_nb.diagnostics.measuring.norm_statistics import load_backbone
from rtdetr_nb.diagnostics.measuring.pictures import Pictures, picture_paths, read_pictures
from rtdetr_nb.diagnostics.measuring.weights import Weights, read_backbone
from rtdetr_nb.drawing import draw
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.model.build import build_backbone
from rtdetr_nb.text.plain_text import show_as_text

RANDOM = "random weights"
_LOW, _HIGH = 0.02, 0.98  # quantiles that become black and full colour


@dataclass(frozen=True)
class StageColours:
    """One stage's maps of one set of weights.

    Attributes:
        stage: "stride 8" and so on.
        colours: (N, h, w, 3) uint8, the first three principal components over all pictures.
        share: of the variance that these three hold.
        rank: effective rank of the stage's channels, at most as many as there are.
    """

    stage: str
    colours: np.ndarray = field(repr=False)
    share: float
    rank: float


@dataclass(frozen=True)
class Features:
    """Pictures, and for each set of weights the colours of every stage.

    `pictures` is (N, H, W, 3) uint8; `weights` names each set.
    """

    pictures: np.ndarray = field(repr=False)
    weights: dict[str, tuple[StageColours, ...]]

    def figure(self) -> Any:
        """Pictures on top, below them every stage of every set of weights (matplotlib)."""
        return draw("features", self)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = ["First three principal components, share of the variance, effective rank:"]
        for name, stages in self.weights.items():
            lines += [f"  {name}, {s.stage}: {s.share:.0%}, rank {s.rank:.1f}" for s in stages]
        return "\n".join(lines)

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()


def show_features(
    config: Config,
    weights: Sequence[Weights | None],
    data: Pictures,
    *,
    pictures: int = 4,
    image_size: int = 320,
    seed: int = 0,
) -> Features:
    """Colour the maps of several sets of weights; as the last line of a cell it shows the picture.

    Args:
        config: names the backbone.
        weights: files, or what was opened from them; None stands for random weights.
        data: a data source, a folder with pictures, or a list of files.
        pictures: how many are shown.
        image_size: height and width that they are resized to, a multiple of 32.
        seed: of the random weights.

    Raises:
        CheckpointError: a file holds no backbone.
        DatasetError: there are no pictures.
    """
    images, _ = read_pictures(picture_paths(data, pictures), image_size)
    named: dict[str, tuple[StageColours, ...]] = {}
    for source in weights:
        name, backbone = _backbone(config, source, seed)
        while name in named:
            name += "'"
        with torch.no_grad():
            maps = backbone.eval()(images)
        named[name] = tuple(
            colour_map(f"stride {images.shape[-1] // x.shape[-1]}", x) for x in maps
        )
    shown = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return Features(shown, named)


def _backbone(config: Config, source: Weights | None, seed: int) -> tuple[str, nn.Module]:
    if source is None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return RANDOM, build_backbone(config.override(["HGNetv2.pretrained=False"]))
    read = read_backbone(source, config.backbone.name)
    return Path(read.checkpoint.path).name, load_backbone(read.tensors, read.variant)


def colour_map(stage: str, maps: Tensor) -> StageColours:
    """Colour maps (N, C, h, w) by their first three principal components over all pictures.

    Raises:
        DatasetError: the maps are not finite.
    """
    count, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(-1, channels).double()
    if not bool(rows.isfinite().all()):
        raise DatasetError(
            "With these weights the maps are not finite, so they have no colours. `rtdetr-nb diff` "
            "shows which tensors of the file are unsound."
        )
    rows = rows - rows.mean(dim=0)
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    first = vectors[:, -3:].flip(1)
    # The sign of a component means nothing: the largest weight is made positive, so that the same
    # maps always have the same colours.
    peaks = first.gather(0, first.abs().argmax(dim=0, keepdim=True))
    components = rows @ (first * peaks.sign())
    low, high = (torch.quantile(components, q, dim=0) for q in (_LOW, _HIGH))
    scaled = ((components - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    colours = (scaled * 255).round().byte().view(count, height, width, 3).numpy()
    total = values.clamp(min=0).sum().clamp(min=1e-12)
    return StageColours(stage, colours, (values[-3:].sum() / total).item(), effective_rank(rows))
