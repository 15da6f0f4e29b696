"""Several processes that train together, as torchrun starts them.

Each process has the whole model and a share of every batch; `DistributedDataParallel` averages the
gradients, so all of them take the same step. They agree on errors, on stopping and on figures
through `Processes`.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rtdetr_nb.errors import RunError, UserError
from rtdetr_nb.training.precision import choose_device

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Processes:
    """The processes of a run, seen from one of them; a single process is a special case.

    All methods but the properties are collective: every process calls them in the same order.

    Args:
        rank: of this process, 0 .. size - 1.
        size: number of processes.
        local_rank: of this process among those of its machine.
        joined: whether they are connected; a single process may be or not.

    Attributes:
        agreed_error: the error that was last raised in all processes at once, so that only the
            first process reports it.
        failed: whether this process ends with an error.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, joined: bool = False
    ) -> None:
        self.rank, self.size, self.local_rank, self.joined = rank, size, local_rank, joined
        self.agreed_error: UserError | None = None
        self.failed = False

    @property
    def is_first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        # On the CPU even when training on a GPU: that needs no synchronisation with the GPU.
        flags = torch.tensor([int(flag)])
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags.item())

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes; changes `values` where there are several."""
        if self.size == 1:
            return values
        dist.all_reduce(values)
        return values / self.size

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process; the others do not call it."""
        if self.size == 1:
            return make()
        made = [make() if self.is_first else None]
        dist.broadcast_object_list(made, src=0, device=torch.device("cpu"))
        return made[0]  # type: ignore[return-value]

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Raise a user's error of one process in all of them, so that none waits for another.

        The block must not call collective methods.
        """
        own: UserError | None = None
        try:
            yield
        except UserError as error:
            own = error
        if self.any(own is not None):
            others = [error for error in self.gather(own) if error is not None]
            self.agreed_error = own or others[0]
            raise self.agreed_error

    def in_step(self, items: Iterable[T]) -> Iterator[T]:
        """Yield this process's items; if fetching one fails in any process, it fails in all."""
        iterator = iter(items)
        while True:
            fetched: list[T] = []
            with self.failing_together():
                fetched.extend(itertools.islice(iterator, 1))
            if not fetched:
                return
            yield fetched[0]

    def copy_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers.

        Without synchronised norms each process has the statistics of its own pictures, and those of
        the first one are what is written.
        """
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def wrap(self, model: nn.Module, device: torch.device, find_unused: bool) -> nn.Module:
        """The model with averaged gradients; the model itself where nothing is connected."""
        if not self.joined:
            return model
        devices = [device] if device.type == "cuda" else None
        network = DistributedDataParallel(model, devices, find_unused_parameters=find_unused)
        # All buffers are equal now. `copy_buffers` is enough later, instead of 454 at each step.
        network.broadcast_buffers = False
        return network

    def alone_with(
        self, network: nn.Module, alone: bool
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which `network` keeps its gradients to this process, if `alone`."""
        if alone and isinstance(network, DistributedDataParallel):
            return network.no_sync()
        return contextlib.nullcontext()


ALONE = Processes()


def is_launched() -> bool:
    """Whether torchrun, or a program that sets the same variables, has started this process."""
    return all(name in os.environ for name in _ENVIRONMENT)


@contextlib.contextmanager
def join_processes(device: str | None) -> Iterator[Processes]:
    """Connect with the other processes of the run, if torchrun has started this one.

    A failing process exits without destroying the process group, which on GPUs would wait for the
    others; torchrun then ends them.

    Args:
        device: as configured; None is a GPU if there is one.

    Raises:
        RunError: the others cannot be reached.
    """
    if not is_launched():
        yield Processes()
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    try:
        # Both, so that agreeing on the CPU needs no GPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"This process cannot connect with the others of the run at {_address()} "
            f"({str(error).splitlines()[0]}). Check torchrun's rendezvous options."
        ) from error
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    processes = Processes(dist.get_rank(), dist.get_world_size(), local_rank, joined=True)
    yield processes
    if not processes.failed:
        dist.destroy_process_group()


def process_device(name: str | None, processes: Processes) -> torch.device:
    """The device of this process; several processes on a machine get a GPU each.

    Raises:
        RunError: there is no such device, or there are fewer GPUs than processes.
    """
    if processes.joined and name in (None, "cuda") and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if processes.local_rank >= count:
            raise RunError(
                f"This machine has {count} GPUs, fewer than torchrun has started processes on it. "
                f"Set --nproc_per_node={count}, or give -d cpu."
            )
        name = f"cuda:{processes.local_rank}"
    elif processes.size > 1 and (name or "").startswith("cuda:"):
        raise RunError(
            f"The device {name!r} is one GPU, but {processes.size} processes want one each. Give "
            "-d cuda."
        )
    device = choose_device(name)
    if device.type == "cuda" and device.index is not None:
        # "cuda" without a number means the current GPU, which is the first by default.
        torch.cuda.set_device(device)
    return device


def synchronise_norms(model: nn.Module, device: torch.device) -> None:
    """Let batch norms in a model use all processes' pictures (`sync_bn`), on GPUs.

    The names and shapes of the state dict stay.
    """
    if device.type != "cuda":
        logger.warning(
            "sync_bn is not used: PyTorch synchronises batch norms on GPUs only. Here each process "
            "has the statistics of its own pictures; those of the first one are saved."
        )
        return
    nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _address() -> str:
    return f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
