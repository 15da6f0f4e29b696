"""The building blocks that the encoder and the decoder share."""

import pytest
import torch
from torch import nn

from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.layers import MLP, ConvNorm, build_activation, projection


@pytest.mark.parametrize(
    ("name", "at_minus_one"),
    [
        (None, -1.0),
        ("relu", 0.0),
        ("silu", -0.268941),
        ("SiLU", -0.268941),
        ("swish", -0.268941),
        ("gelu", -0.158655),
        ("leaky_relu", -0.01),
        ("hardsigmoid", 1 / 3),
    ],
)
def test_activations(name, at_minus_one):
    assert build_activation(name)(torch.tensor(-1.0)).item() == pytest.approx(
        at_minus_one, abs=1e-5
    )


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ConfigError, match=r"no activation 'mish'; expected one of relu, silu"):
        build_activation("mish")


def test_mlp_has_no_activation_at_its_end():
    torch.manual_seed(0)
    mlp = MLP(3, 8, 2, 3)
    assert [tuple(weight.shape) for weight in mlp.parameters() if weight.dim() == 2] == [
        (8, 3),
        (8, 8),
        (2, 8),
    ]
    x = torch.randn(50, 3)
    first, second, third = mlp.layers
    assert torch.equal(mlp(x), third(second(first(x).relu()).relu()))
    assert mlp(x).min() < 0


@pytest.mark.parametrize(("kernel_size", "stride", "size"), [(1, 1, 7), (3, 1, 7), (3, 2, 4)])
def test_convolutions_keep_or_halve_the_size(kernel_size, stride, size):
    for layer in (
        ConvNorm(3, 5, kernel_size, stride, act="silu"),
        projection(3, 5, kernel_size, stride),
    ):
        assert layer(torch.randn(2, 3, 7, 7)).shape == (2, 5, size, size)
        assert not any(isinstance(m, nn.Conv2d) and m.bias is not None for m in layer.modules())
