"""The HGNetv2 variants as numbers: the one table that the model and the checkpoint tools share.

A leaf without torch, so that reading a checkpoint's names never has to load it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageSpec:
    """One HGNetv2 stage: an optional depthwise downsampling (stride 2), then HG blocks.

    Each block chains `num_layers` convolutions of `mid_channels`, concatenates its input and all
    their outputs, and aggregates them by two 1x1 convolutions to `out_channels`. A light block
    replaces every convolution by a 1x1 convolution and a depthwise one.
    """

    in_channels: int
    mid_channels: int
    out_channels: int
    num_blocks: int
    downsample: bool
    light_block: bool
    kernel_size: int
    num_layers: int


@dataclass(frozen=True)
class BackboneSpec:
    """A whole HGNetv2: `stem_channels` are its input, middle and output channels (stride 4)."""

    stem_channels: tuple[int, int, int]
    stages: tuple[StageSpec, ...]


def hgnetv2_stages(
    *widths: tuple[int, int, int, int], num_layers: int = 6
) -> tuple[StageSpec, ...]:
    """Build the stages from (in, mid, out channels, blocks): all else is common to L, X and H.

    `num_layers` is the length of the chain in each block, which smaller sizes have shorter.
    """
    return tuple(
        StageSpec(
            in_channels,
            mid_channels,
            out_channels,
            num_blocks,
            downsample=index > 0,
            light_block=index >= 2,
            kernel_size=5 if index >= 2 else 3,
            num_layers=num_layers,
        )
        for index, (in_channels, mid_channels, out_channels, num_blocks) in enumerate(widths)
    )


HGNETV2_VARIANTS: dict[str, BackboneSpec] = {
    "L": BackboneSpec(
        (3, 32, 48),
        hgnetv2_stages(
            (48, 48, 128, 1), (128, 96, 512, 1), (512, 192, 1024, 3), (1024, 384, 2048, 1)
        ),
    ),
    "X": BackboneSpec(
        (3, 32, 64),
        hgnetv2_stages(
            (64, 64, 128, 1), (128, 128, 512, 2), (512, 256, 1024, 5), (1024, 512, 2048, 2)
        ),
    ),
    "H": BackboneSpec(
        (3, 48, 96),
        hgnetv2_stages(
            (96, 96, 192, 2), (192, 192, 512, 3), (512, 384, 1024, 6), (1024, 768, 2048, 3)
        ),
    ),
}
