"""Data sets and loaders as configured."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.schema import DataLoaderConfig
from rtdetr_nb.datasets.batches.batch_packing import (
    TENSORS_OF_A_BATCH,
    PackingCollate,
    unpack_targets,
)
from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.batches.collate import Batch, BatchCollate, as_fractions
from rtdetr_nb.datasets.batches.sampler import EpochSampler
from rtdetr_nb.datasets.batches.transforms import build_transforms
from rtdetr_nb.datasets.configured import SplitName, configured_split
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import ConfigError, DatasetError, DataWorkerError
from rtdetr_nb.files.open_files import allow_open_files

_PREFETCHED = 2  # batches of a worker that wait to be used, torch's default
_FILES_OF_A_WORKER = 8  # pipes to it and from it
_SPARE_FILES = 32


class DetectionLoader(DataLoader[Any]):
    """Batches of one epoch, from wherever in it `set_position` says.

    A batch is images (B, 3, H, W) float32 in 0..1, and a list of B targets as `DetectionDataset`
    makes them and the transforms leave them: in training with `boxes` as cxcywh fractions of the
    image. `len` counts the batches of a whole epoch.

    Attributes:
        device: where the images of a batch are; they go there while they are bytes.
    """

    dataset: DetectionDataset  # type: ignore[assignment]  # narrower than the base class says

    def __init__(
        self,
        dataset: DetectionDataset,
        sampler: EpochSampler,
        batch_size: int,
        drop_last: bool,
        collate: BatchCollate,
        num_workers: int,
        device: torch.device | None = None,
    ) -> None:
        if num_workers:
            _allow_files_of(num_workers)
        self.epoch_sampler = sampler
        self.device = device or torch.device("cpu")
        self.images_per_batch = batch_size
        super().__init__(
            dataset,
            # The stubs know samplers of plain indices only.
            batch_sampler=BatchSampler(sampler, batch_size, drop_last),  # type: ignore[arg-type]
            collate_fn=PackingCollate(collate) if num_workers else collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_leave_process_group,
            # Workers draw their base seed from here, not from the generator of the training.
            generator=torch.Generator().manual_seed(collate.seed),
        )

    def set_position(self, epoch: int, batch: int = 0) -> None:
        """What the next iteration yields: that epoch, without its first `batch` batches."""
        self.epoch_sampler.set_position(epoch, batch * self.images_per_batch)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # a plain iterator is enough
        """Yield batches.

        Raises:
            DatasetError: a picture or annotation cannot be used.
            DataWorkerError: a worker process is gone.
        """
        try:
            with _without_surprise():
                batches = super().__iter__()
            for images, targets in batches:
                images = as_fractions(images.to(self.device, non_blocking=True))
                yield images, unpack_targets(targets) if self.num_workers else targets
        except (DatasetError, ConfigError) as error:
            raise _without_traceback(error) from error
        except (RuntimeError, ConnectionError, EOFError, UnpicklingError) as error:
            # What it looks like depends on what the worker was sending when it went.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
                raise
            raise DataWorkerError(
                "A process that loads data was killed, mostly because memory, or the shared memory "
                "in /dev/shm, ran out. The state after the last whole step is kept. Set a smaller "
                "train_dataloader.num_workers."
            ) from error


def _allow_files_of(num_workers: int) -> None:
    """Let workers send their batches, or say so at once instead of waiting for ever."""
    batches = num_workers * _PREFETCHED + 1
    allow_open_files(
        batches * TENSORS_OF_A_BATCH + num_workers * _FILES_OF_A_WORKER + _SPARE_FILES,
        f"{num_workers} data workers need more open files than there may be. Set a smaller "
        "num_workers of train_dataloader and val_dataloader.",
        DatasetError,
    )


@contextmanager
def _without_surprise() -> Iterator[None]:
    """Undo what starting workers does to SIGCHLD.

    PyTorch would raise an error for a worker that dies wherever the program then is, in the middle
    of an update or of writing a checkpoint. Without that it is noticed when its batch is missing.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _leave_process_group(_worker: int) -> None:
    """Signals to stop go to a whole group, by Ctrl-C or from torchrun.

    A worker has to live on until the step is finished; when its parent ends, it ends too.
    """
    os.setpgid(0, 0)


def _without_traceback(error: DatasetError | ConfigError) -> DatasetError | ConfigError:
    """A worker sends its whole traceback as the message; the sentence for the user is its end."""
    kind = type(error)
    return kind(str(error).rpartition(f"{kind.__name__}: ")[2].strip())


def build_dataset(
    config: Config, split: SplitName, *, seed: int = 0, opened: Split | None = None
) -> DetectionDataset:
    """The data set of `train_dataloader` or `val_dataloader`; for "val", what is evaluated of it.

    Args:
        config: configuration.
        split: which of the two.
        seed: keys all augmentation.
        opened: the pictures, where they are open already; None opens what is configured.

    Raises:
        DatasetError: files, folder or categories cannot be used.
        ConfigError: a transform, or the kind of data set, is not known.
    """
    section = _section(config, split).dataset
    if section.type != "CocoDetection" or section.return_masks:
        raise ConfigError(
            f"{split}_dataloader.dataset is {section.type} with return_masks: "
            f"{section.return_masks}; expected CocoDetection with return_masks: False."
        )
    transforms = build_transforms(section.transforms.ops, section.transforms.policy)
    try:
        whole = configured_split(config, split) if opened is None else opened
        # The check looks at all pictures, also where only some are evaluated.
        dataset = DetectionDataset(whole, transforms, config.num_classes, seed)
    except DatasetError as error:
        raise DatasetError(f"{split}_dataloader: {error}") from error
    if split == "val" and config.eval_pictures is not None:
        dataset.split = whole.evenly(config.eval_pictures)
    return dataset


def build_dataloader(
    config: Config,
    split: SplitName,
    *,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int | None = None,
    device: torch.device | None = None,
    opened: Split | None = None,
) -> DetectionLoader:
    """The loader of `train_dataloader` or `val_dataloader` for one process.

    Args:
        config: configuration.
        split: which of the two.
        seed: keys the order and all augmentation.
        rank: this process, 0 .. world_size - 1.
        world_size: number of processes.
        num_workers: instead of the configured number.
        device: where the images of a batch are; None for the CPU.
        opened: as in `build_dataset`.

    Raises:
        DatasetError: as in `build_dataset`; or there are fewer pictures than one batch needs.
        ConfigError: as in `build_dataset`; or the batch size cannot be used.
    """
    section = _section(config, split)
    dataset = build_dataset(config, split, seed=seed, opened=opened)
    batch_size = _batch_size(section, split, world_size)
    sampler = EpochSampler(
        len(dataset), section.shuffle, seed, rank, world_size, even=split == "train"
    )
    if section.drop_last and len(sampler) < batch_size:
        raise DatasetError(
            f"{split}_dataloader: {section.dataset.ann_file} lists {len(dataset)} pictures, fewer "
            f"than one batch over all processes ({batch_size * world_size}), and drop_last is "
            "True, so an epoch would have no step. Set a smaller total_batch_size, or "
            "drop_last: False."
        )
    collate = BatchCollate(section.collate_fn.scales, section.collate_fn.stop_epoch, seed)
    workers = section.num_workers if num_workers is None else num_workers
    drop_last = section.drop_last
    return DetectionLoader(dataset, sampler, batch_size, drop_last, collate, workers, device)


def _section(config: Config, split: SplitName) -> DataLoaderConfig:
    return {"train": config.train_dataloader, "val": config.val_dataloader}[split]


def _batch_size(section: DataLoaderConfig, split: SplitName, world_size: int) -> int:
    total, each = section.total_batch_size, section.batch_size
    if (total is None) == (each is None):
        raise ConfigError(
            f"{split}_dataloader has total_batch_size: {total} and batch_size: {each}; expected "
            "one of the two."
        )
    if total is None:
        return each or 1
    if total % world_size:
        raise ConfigError(
            f"{split}_dataloader.total_batch_size is {total}, which {world_size} processes cannot "
            "share evenly. Set a multiple of their number."
        )
    return total // world_size
