"""One tensor of a `state_dict` as numbers, and the entries of the layers that all parts have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

BATCH_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class KeyInfo:
    """One tensor of the model.

    `kind` is "parameter" or "buffer"; `trainable` is whether the optimizer gets it (a parameter
    that the configuration does not freeze).
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    kind: str = "parameter"
    trainable: bool = True

    @property
    def num_elements(self) -> int:
        """Number of elements of the tensor."""
        return prod(self.shape)


Entries = Iterator[tuple[str, KeyInfo]]
"""Names and what they stand for, in the order in which modules register them."""


def under(prefix: str, entries: Entries) -> Entries:
    """The entries with a prefix before each name."""
    for name, info in entries:
        yield prefix + name, info


def buffer(*shape: int, dtype: str = "float32") -> KeyInfo:
    """A tensor that is saved but not learnt."""
    return KeyInfo(shape, dtype, kind="buffer", trainable=False)


def is_batch_counter(key: str) -> bool:
    """Whether a key is of a norm's count of batches, which is no weight and is never trained."""
    return key.endswith(BATCH_COUNTER)


def batch_norm(name: str, channels: int, *, frozen: bool = False) -> Entries:
    """The tensors of a batch norm; those of a frozen one are all buffers."""
    affine = buffer(channels) if frozen else KeyInfo((channels,))
    yield f"{name}.weight", affine
    yield f"{name}.bias", affine
    yield f"{name}.running_mean", buffer(channels)
    yield f"{name}.running_var", buffer(channels)
    if not frozen:
        yield f"{name}.{BATCH_COUNTER}", buffer(dtype="int64")


def affine(name: str, *weight_shape: int) -> Entries:
    """Weight and bias of a linear layer (output, input) or of a layer norm (channels,)."""
    yield f"{name}.weight", KeyInfo(weight_shape)
    yield f"{name}.bias", KeyInfo(weight_shape[:1])
