"""For layers that are called once without a gradient and then again with one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_gradient(device_type: str) -> Iterator[None]:
    """No gradient in here; the same layers, called afterwards, get theirs, under autocast too.

    Autocast keeps the weights that it casts. Until that was mended (pytorch issue 158232) those
    cast without a gradient were used again where one was wanted.
    """
    dtype, enabled = torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)
    with torch.no_grad(), torch.autocast(device_type, dtype, enabled, cache_enabled=False):
        yield
