"""Backbones to ask: of a tuning file, or with random weights."""

from __future__ import annotations

import os

import torch
from torch import nn

from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS
from rtdetr_nb.checkpoint.tuning.load import load_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.model.build import build_backbone, build_model


def loaded_backbone(config: Config, tuning: str | os.PathLike[str] | None) -> nn.Module | None:
    """The backbone of a tuning file, or of `HGNetv2.pretrained`; None where neither names one.

    The global generator is left alone.
    """
    with torch.random.fork_rng(devices=[]):
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


def describe_random_backbone(config: Config, seed: int) -> str:
    """What random weights depend on, as text: settings, sizes, seed and version of torch."""
    section = config.override(["HGNetv2.pretrained=False"]).backbone
    return f"{section!r} {HGNETV2_VARIANTS[section.name]!r} {seed} {torch.__version__}"
