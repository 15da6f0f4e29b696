"""The order of samples: a function of the seed and the epoch, cut for processes, resumable."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) pairs for one process.

    The samples of an epoch are put in one order and dealt to the processes like cards, so the
    batches of all processes together are those that one process would see.

    Args:
        num_samples: size of the data set.
        shuffle: give each epoch its own order, drawn from the seed and the epoch.
        seed: of the run.
        rank: this process, 0 .. world_size - 1.
        world_size: number of processes.
        even: give every process the same number of samples, by repeating the first ones: training
            needs it, since processes wait for each other. Without it no sample comes twice:
            evaluation needs that.
    """

    def __init__(
        self,
        num_samples: int,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        even: bool = False,
    ) -> None:
        self.num_samples, self.shuffle, self.seed = num_samples, shuffle, seed
        self.rank, self.world_size, self.even = rank, world_size, even
        self.epoch = 0
        self.start = 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """What the next iteration yields: that epoch, without its first `start` samples."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Samples of this process in a whole epoch."""
        if self.even:
            return -(-self.num_samples // self.world_size)
        return len(range(self.rank, self.num_samples, self.world_size))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.num_samples)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        if self.even:
            order = np.resize(order, len(self) * self.world_size)
        for index in order[self.rank :: self.world_size][self.start :].tolist():
            yield self.epoch, index
