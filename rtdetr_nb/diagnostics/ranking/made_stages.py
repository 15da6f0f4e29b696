"""Stages of a training that never was: one backbone with more and more noise in its weights.

To try a ranking one needs files of known order. These are made of one file on the spot: noise is
added to every convolution, and the norms are measured anew on some pictures, so that they fit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rtdetr_nb.diagnostics.measuring.norm_statistics import load_backbone
from rtdetr_nb.diagnostics.measuring.pictures import Pictures, picture_paths, read_pictures
from rtdetr_nb.diagnostics.measuring.weights import Weights, read_backbone
from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.model.hgnetv2 import HGNetv2

NOISE = (1.6, 0.8, 0.4, 0.2, 0.0)
"""Of the made stages, the worst first: in standard deviations of each convolution's weights."""
_PICTURES, _SIDE = 16, 192  # that the norms are measured on


def make_stages(
    source: Weights,
    folder: str | os.PathLike[str],
    data: Pictures,
    noise: Sequence[float] = NOISE,
    seed: int = 0,
) -> list[Path]:
    """Write stages of a made-up training into a folder, and return their paths.

    They are called `epoch_1.pth` and so on, and the last one is the source itself where its noise
    is 0. They are no real epochs: they serve to see what a ranking says of files of known order.

    Args:
        source: a file with a sound backbone.
        folder: is made; files of these names in it are replaced.
        data: pictures that the norms are measured on.
        noise: for each stage, in standard deviations of each convolution's weights.
        seed: of the noise, which is the same for all stages but for its size.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    weights = read_backbone(source)
    pictures, _ = read_pictures(picture_paths(data, _PICTURES), _SIDE)
    paths = []
    for number, share in enumerate(noise, start=1):
        state = dict(weights.tensors)
        if share:
            backbone = load_backbone(weights.tensors, weights.variant)
            _add_noise(backbone, share, seed)
            _measure_norms_anew(backbone, pictures)
            state = {name: value for name, value in backbone.state_dict().items() if name in state}
        content = {"state_dict": state, "meta": {"epoch": number, "noise": float(share)}}
        paths.append(target / f"epoch_{number}.pth")
        write_atomically(paths[-1], lambda path, content=content: torch.save(content, path))
    return paths


@torch.no_grad()
def _add_noise(backbone: HGNetv2, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight
            noise = torch.randn(weight.shape, generator=generator)
            weight.add_(noise * weight.std() * share)


@torch.no_grad()
def _measure_norms_anew(backbone: HGNetv2, pictures: Tensor) -> None:
    """Set the statistics of every norm to those of the pictures."""
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over what it meets
        norm.train()
    backbone(pictures.contiguous(memory_format=torch.channels_last))
    backbone.eval()
