"""HGNetv2, the convolutional backbone of RT-DETRv2 (the L, X and H variants).

The architecture is PaddleDetection's PP-HGNetV2. Attribute names are a file format: they make up
the keys of every official checkpoint, so `stem.stem2a.conv.1.weight` has its `1` because a padding
layer comes before that convolution.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtdetr_nb.architecture.hgnetv2_variants import BackboneSpec, StageSpec


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics, scale and bias are fixed buffers.

    It computes what torchvision's `FrozenBatchNorm2d` does, in one operation that leaves half
    precision as it is: scaled by float32 buffers, the maps would be float32 again behind every norm
    under autocast. Importing torchvision takes as long as importing torch, and building a model
    needs nothing else of it.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Ignore the batch counter of a norm that was not frozen."""
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Show the number of channels and the epsilon."""
        return f"{len(self.weight)}, eps={self.eps:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class LearnableAffine(nn.Module):
    """One learnt scale and one learnt bias for a whole map ("LAB" in PaddleClas)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.scale * x + self.bias


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm and, if `activated`, ReLU (then LAB, if used)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        *,
        use_lab: bool,
        activated: bool = True,
        pad_end: bool = False,
    ) -> None:
        super().__init__()
        # An even kernel cannot be padded evenly: the extra row and column go to the end.
        padding = 0 if pad_end else (kernel_size - 1) // 2
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.conv = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv) if pad_end else conv
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU(inplace=True) if activated else nn.Identity()
        self.lab = LearnableAffine() if activated and use_lab else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return self.lab(self.act(self.bn(self.conv(x))))


class LightConv(nn.Module):
    """A point-wise convolution without activation, then a depth-wise one with it."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, use_lab: bool
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, out_channels, 1, use_lab=use_lab, activated=False)
        self.conv2 = ConvNormAct(
            out_channels, out_channels, kernel_size, groups=out_channels, use_lab=use_lab
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W)."""
        return self.conv2(self.conv1(x))


class Stem(nn.Module):
    """The entry: two paths, learnt and pooled, side by side; output at stride 4."""

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, use_lab: bool):
        super().__init__()
        half = mid_channels // 2
        self.stem1 = ConvNormAct(in_channels, mid_channels, 3, stride=2, use_lab=use_lab)
        self.stem2a = ConvNormAct(mid_channels, half, 2, use_lab=use_lab, pad_end=True)
        self.stem2b = ConvNormAct(half, mid_channels, 2, use_lab=use_lab, pad_end=True)
        self.stem3 = ConvNormAct(2 * mid_channels, mid_channels, 3, stride=2, use_lab=use_lab)
        self.stem4 = ConvNormAct(mid_channels, out_channels, 1, use_lab=use_lab)
        self.pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1, ceil_mode=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, out_channels, H / 4, W / 4)."""
        x = self.stem1(x)
        x = torch.cat([self.pool(x), self.stem2b(self.stem2a(x))], dim=1)
        return self.stem4(self.stem3(x))


class HGBlock(nn.Module):
    """A chain of convolutions whose input and every output are joined and squeezed."""

    def __init__(self, spec: StageSpec, in_channels: int, residual: bool, use_lab: bool) -> None:
        super().__init__()
        self.residual = residual
        widths = [in_channels] + [spec.mid_channels] * spec.num_layers
        self.layers = nn.ModuleList(
            LightConv(width, spec.mid_channels, spec.kernel_size, use_lab)
            if spec.light_block
            else ConvNormAct(width, spec.mid_channels, spec.kernel_size, use_lab=use_lab)
            for width in widths[:-1]
        )
        half = spec.out_channels // 2
        self.aggregation_squeeze_conv = ConvNormAct(sum(widths), half, 1, use_lab=use_lab)
        self.aggregation_excitation_conv = ConvNormAct(half, spec.out_channels, 1, use_lab=use_lab)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, spec.out_channels, H, W)."""
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        y = self.aggregation_squeeze_conv(torch.cat(outputs, dim=1))
        y = self.aggregation_excitation_conv(y)
        return y + x if self.residual else y


class HGStage(nn.Module):
    """An optional halving of the resolution, then blocks."""

    def __init__(self, spec: StageSpec, use_lab: bool) -> None:
        super().__init__()
        channels = spec.in_channels
        self.downsample = (
            ConvNormAct(channels, channels, 3, 2, groups=channels, use_lab=use_lab, activated=False)
            if spec.downsample
            else nn.Identity()
        )
        self.blocks = nn.Sequential(
            *(
                HGBlock(
                    spec,
                    in_channels=spec.in_channels if index == 0 else spec.out_channels,
                    residual=index > 0,
                    use_lab=use_lab,
                )
                for index in range(spec.num_blocks)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, spec.in_channels, H, W) to (B, spec.out_channels, H', W'), H' = H or H / 2."""
        return self.blocks(self.downsample(x))


class HGNetv2(nn.Module):
    """The backbone; `state_dict` keys are those of the official model without `backbone.`.

    Args:
        spec: its channels and blocks, such as `HGNETV2_VARIANTS["L"]`.
        use_lab: add a learnable affine layer behind every activation.
        return_idx: the stages (0..3, at strides 4, 8, 16, 32) whose maps are returned.
        freeze_at: -1 trains everything; n >= 0 freezes the parameters of the stem and of the first
            n stages. So 0 freezes the stem; it does not freeze nothing.
        freeze_norm: replace every batch norm by one whose scale, shift and statistics are buffers.
            With weights that were not loaded that means mean 0 and variance 1 for the whole run.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        *,
        use_lab: bool,
        return_idx: Sequence[int],
        freeze_at: int,
        freeze_norm: bool,
    ) -> None:
        super().__init__()
        self.return_idx = tuple(return_idx)
        self.out_channels = tuple(spec.stages[i].out_channels for i in self.return_idx)
        self.stem = Stem(*spec.stem_channels, use_lab=use_lab)
        self.stages = nn.ModuleList(HGStage(stage, use_lab) for stage in spec.stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        if freeze_at >= 0:
            for part in (self.stem, *self.stages[:freeze_at]):
                part.requires_grad_(False)
        if freeze_norm:
            freeze_norms(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to one (B, C, H / stride, W / stride) for each stage of `return_idx`."""
        x = self.stem(images)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.return_idx:
                maps.append(x)
        return maps


def freeze_norms(module: nn.Module) -> None:
    """Replace every batch norm below `module`, in place, by a frozen one that computes the same.

    Scale, shift, running statistics and epsilon are copied. (The official code makes a fresh norm
    and so forgets statistics that were there.)
    """
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _frozen_copy(child))
        else:
            freeze_norms(child)


def _frozen_copy(norm: nn.BatchNorm2d) -> FrozenBatchNorm:
    frozen = FrozenBatchNorm(norm.num_features, eps=norm.eps)
    frozen.load_state_dict(norm.state_dict())
    return frozen.to(norm.weight.device, norm.weight.dtype)
