"""Randomness that depends on what is drawn, not on the process that draws it or when.

A sample's augmentation is keyed by the run's seed, the epoch and the sample's index. So it does not
matter how many workers there are, in which order they come, or whether the run was resumed.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*key: int) -> int:
    """A 63-bit seed that is well mixed from several non-negative integers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the CPU generators of torch, random and numpy by `key`; put them back afterwards."""
    seed = derive_seed(*key)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # torch.manual_seed would also touch CUDA's generators, which nobody puts back.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
