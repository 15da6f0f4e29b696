"""What every norm of a backbone meets on some pictures, each layer looked at alone.

Statistics that are off in one layer change what all layers behind it see. So each norm passes on
what it would if its statistics were those of these pictures: every layer gets inputs with the
means and variances that it knows, and what is wrong shows where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.diagnostics.measuring.divergence import ChannelStatistics
from rtdetr_nb.model.build import make_backbone
from rtdetr_nb.model.hgnetv2 import HGNetv2

FIRST = "stem.stem1"
"""The layer whose norm sees the pictures themselves, through one convolution."""


@dataclass(frozen=True)
class NormStatistics:
    """One norm: what it remembers of its training, and what it meets on some pictures.

    `name` is that of the layer, without `.bn`.
    """

    name: str
    remembered: ChannelStatistics
    met: ChannelStatistics


def load_backbone(tensors: Mapping[str, Tensor], variant: str) -> HGNetv2:
    """A backbone with these tensors, by official names without `backbone.`, in evaluation mode."""
    use_lab = any(".lab." in name for name in tensors)
    backbone = make_backbone(BackboneConfig(name=variant, use_lab=use_lab))
    backbone.load_state_dict(dict(tensors), strict=False)
    return backbone.eval()


@torch.no_grad()
def measure_norms(backbone: HGNetv2, inputs: Tensor) -> list[NormStatistics]:
    """Statistics of every norm, from the stem to the last stage.

    Args:
        backbone: with live norms in evaluation mode; it is as before afterwards.
        inputs: (N, 3, H, W), in the format that the backbone expects.
    """
    measured: list[NormStatistics] = []
    hooks = [
        module.register_forward_hook(_measure(name.removesuffix(".bn"), measured))
        for name, module in backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    try:
        backbone(inputs.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    return measured


def _measure(name: str, measured: list[NormStatistics]):  # noqa: ANN202 - a hook of torch
    def hook(norm: nn.Module, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        assert isinstance(norm, nn.BatchNorm2d)
        x = inputs[0]
        variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        assert norm.running_mean is not None and norm.running_var is not None
        remembered = ChannelStatistics.of(norm.running_mean, norm.running_var)
        measured.append(NormStatistics(name, remembered, ChannelStatistics.of(mean, variance)))
        return nn.functional.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps)

    return hook
