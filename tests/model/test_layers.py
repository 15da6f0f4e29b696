"""The building blocks that the encoder and the decoder share."""

import pytest
import torch
from torch import nn

from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.layers import MLP, ConvNorm, as_tokens, build_activation, projection


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


def test_tokens_go_row_by_row():
    x = torch.arange(12.0).view(1, 2, 2, 3)
    assert as_tokens(x)[0].tolist() == [[i, i + 6] for i in range(6)]


def test_one_picture_has_the_gradient_that_it_has_in_a_batch():
    """PyTorch's batch norm reads some gradients of one picture in the wrong order."""
    torch.manual_seed(0)
    layer, head = ConvNorm(6, 8, 1, act=None).eval(), nn.Linear(8, 8)
    nn.init.uniform_(layer.norm.weight, 0.5, 2.0)
    pictures = torch.randn(3, 6, 4, 4, requires_grad=True)

    def gradient(batch):
        loss = head(as_tokens(layer(batch))).sin().square().sum()
        return torch.autograd.grad(loss, pictures)[0]

    whole = gradient(pictures)
    single = sum(gradient(pictures[i : i + 1].contiguous()) for i in range(3))
    # Measured: equal to the last digit; with `flatten(2).transpose(1, 2)` 1.1 of the norm apart.
    assert (single - whole).norm() < 1e-5 * whole.norm()
