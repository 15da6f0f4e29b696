"""Building blocks that the hybrid encoder and the decoder share."""

from collections import OrderedDict

from torch import Tensor, nn

from rtdetr_nb.errors import ConfigError

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "hardsigmoid": nn.Hardsigmoid,
}


def build_activation(name: str | None) -> nn.Module:
    """The activation of that name; None is the identity.

    Raises:
        ConfigError: there is no such activation.
    """
    if name is None:
        return nn.Identity()
    if name.lower() not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ConfigError(f"There is no activation {name!r}; expected one of {known}.")
    return _ACTIVATIONS[name.lower()]()


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        act: str | None,
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = build_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return self.act(self.norm(self.conv(x)))


def projection(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
    """A convolution and its norm under the names `conv` and `norm`, without activation."""
    padding = (kernel_size - 1) // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels)))


def as_tokens(x: Tensor) -> Tensor:
    """Map (B, C, H, W) to tokens (B, H*W, C), row by row.

    Not by `flatten(2).transpose(1, 2)`: for one picture the gradient of that has a stride of the
    batch which PyTorch's batch norm on a CPU takes for another layout (2.14.1), and the gradients
    of all layers before it are wrong.
    """
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim] + [hidden_dim] * (num_layers - 1) + [output_dim]
        self.layers = nn.ModuleList(
            nn.Linear(width, next_width)
            for width, next_width in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., input_dim) to (..., output_dim)."""
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)
