"""The hybrid encoder: position embedding, fusion and its options."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rtdetr_nb.config.schema import EncoderConfig
from rtdetr_nb.model.build import make_encoder
from rtdetr_nb.model.hybrid_encoder import (
    CrossScaleFusion,
    CSPRepLayer,
    HybridEncoder,
    RepVggBlock,
    position_embedding_2d,
)

CHANNELS = (6, 10, 14)


def maps_of(height: int, width: int, batch: int = 2) -> list[Tensor]:
    """Three maps, the coarsest of the given size."""
    torch.manual_seed(1)
    return [
        torch.randn(batch, channels, height * scale, width * scale)
        for channels, scale in zip(CHANNELS, (4, 2, 1), strict=True)
    ]


def small_encoder(**options) -> HybridEncoder:
    torch.manual_seed(0)
    small = EncoderConfig(in_channels=CHANNELS, hidden_dim=16, nhead=4, dim_feedforward=24)
    return make_encoder(replace(small, **options)).eval()


@pytest.mark.parametrize(("height", "width"), [(2, 3), (3, 2), (4, 4)])
def test_position_embedding_by_hand(height, width):
    dim, temperature = 8, 100.0
    found = position_embedding_2d(height, width, dim, temperature)
    expected = []
    for column in range(width):  # the official order: column by column
        for row in range(height):
            waves = [temperature ** -(i / (dim // 4)) for i in range(dim // 4)]
            expected.append(
                [math.sin(column * w) for w in waves]
                + [math.cos(column * w) for w in waves]
                + [math.sin(row * w) for w in waves]
                + [math.cos(row * w) for w in waves]
            )
    assert found.shape == (1, height * width, dim)
    assert torch.allclose(found[0], torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(2, 3), (5, 2)])
def test_maps_of_any_shape_keep_their_size(height, width):
    found = small_encoder()(maps_of(height, width))
    expected = [(2, 16, height * scale, width * scale) for scale in (4, 2, 1)]
    assert [tuple(x.shape) for x in found] == expected


def test_sizes_one_after_another_do_not_mix():
    encoder = small_encoder()
    first = encoder(maps_of(2, 3))
    encoder(maps_of(3, 2))
    for again, before in zip(encoder(maps_of(2, 3)), first, strict=True):
        assert torch.equal(again, before)


def test_attention_runs_on_the_chosen_maps():
    encoder = small_encoder(use_encoder_idx=(1, 2), num_encoder_layers=2)
    assert [len(stack.get_submodule("layers")._modules) for stack in encoder.encoder] == [2, 2]
    seen: list[int] = []
    for stack in encoder.encoder:
        stack.register_forward_hook(lambda module, args, output: seen.append(args[0].shape[1]))
    encoder(maps_of(2, 3))
    assert seen == [4 * 6, 2 * 3]


def test_no_encoder_layers_means_no_attention():
    encoder = small_encoder(num_encoder_layers=0)
    assert not any("self_attn" in key for key in encoder.state_dict())
    assert encoder(maps_of(2, 2))[0].shape == (2, 16, 8, 8)


def test_every_output_sees_every_input():
    encoder = small_encoder()
    for chosen in range(3):
        maps = [x.requires_grad_() for x in maps_of(2, 2)]
        encoder(maps)[chosen].square().sum().backward()
        assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in maps)


def test_images_of_a_batch_do_not_see_each_other():
    encoder = small_encoder()
    maps = maps_of(2, 2)
    both = encoder(maps)
    alone = encoder([x[:1] for x in maps])
    for a, b in zip(both, alone, strict=True):
        assert torch.allclose(a[:1], b, atol=1e-5)


def test_fusion_layer_by_hand():
    torch.manual_seed(0)
    layer = CSPRepLayer(
        6, 8, CrossScaleFusion(num_blocks=2, expansion=0.5, activation="silu")
    ).eval()
    x = torch.randn(1, 6, 3, 3)
    y = layer.conv1(x)
    for block in layer.bottlenecks:
        assert isinstance(block, RepVggBlock)
        y = nn.functional.silu(block.conv1(y) + block.conv2(y))
    expected = layer.conv3(y + layer.conv2(x))
    assert layer.conv1.conv.out_channels == 4
    assert torch.equal(layer(x), expected)


def test_width_and_depth_of_the_fusion_layers():
    encoder = small_encoder(expansion=0.5, depth_mult=0.34)
    block = encoder.fpn_blocks[0]
    assert isinstance(block, CSPRepLayer)
    assert len(block.bottlenecks) == 1 and block.conv1.conv.out_channels == 8
    assert isinstance(small_encoder().fpn_blocks[0].get_submodule("conv3"), nn.Identity)
