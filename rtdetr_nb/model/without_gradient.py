"""For layers that are called first without a gradient and then with one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_gradient(device_type: str) -> Iterator[None]:
    """Compute without a gradient; the same layers, called afterwards, get theirs.

    Autocast keeps the weights that it casts. In PyTorch versions with issue 158232 it uses those
    cast without a gradient again where a gradient is wanted, so here it keeps none.
    """
    dtype, enabled = torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)
    with torch.no_grad(), torch.autocast(device_type, dtype, enabled, cache_enabled=False):
        yield
