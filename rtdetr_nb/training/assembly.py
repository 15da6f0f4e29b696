"""Puts the objects of a run together, the same in all of its processes."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rtdetr_nb.checkpoint.tuning.load import load_tuning_file
from rtdetr_nb.checkpoint.tuning.report import TuningReport
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.loader import DetectionLoader, build_dataloader
from rtdetr_nb.datasets.configured import configured_data
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.build import build_model, build_postprocessor
from rtdetr_nb.model.rtdetr import RTDETR
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.training.distributed import ALONE, Processes, process_device, synchronise_norms
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.losses.criterion import Criterion, build_criterion
from rtdetr_nb.training.optimizer import LinearWarmup, build_lr_scheduler, build_optimizer
from rtdetr_nb.training.precision import Precision, choose_precision
from rtdetr_nb.training.start.data_check import tell_data
from rtdetr_nb.training.start.disk_room import tell_room
from rtdetr_nb.training.state import TrainingState, read_resume_file, seed_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOptions:
    """What a run is told beside its configuration.

    Attributes:
        output_dir: folder for `last.pth`, `best.pth` and `checkpointNNNN.pth`.
        tuning: weights to start from.
        resume: checkpoint to go on from; not together with `tuning`.
        max_steps: stop after so many optimizer updates, counted over the whole run; changes no
            schedule.
        stop_requested: called after each step, and after each batch of an evaluation; True in any
            process ends the run with a checkpoint.
        processes: those that train together.
    """

    output_dir: Path
    tuning: Path | None = None
    resume: Path | None = None
    max_steps: int | None = None
    stop_requested: Callable[[], bool] = lambda: False
    processes: Processes = ALONE


@dataclass(frozen=True)
class Assembly:
    """The objects of a run.

    Attributes:
        network: `state.model`, or what wraps it for several processes or compilation.
        tuning_report: what the tuning file did, if there was one.
        batches_of_epoch: batches of an epoch that are trained on.
        steps_per_epoch: optimizer updates of an epoch.
    """

    device: torch.device
    precision: Precision
    state: TrainingState
    network: nn.Module
    criterion: Criterion
    postprocessor: nn.Module
    train_loader: DetectionLoader
    val_loader: DetectionLoader
    tuning_report: TuningReport | None
    batches_of_epoch: int
    steps_per_epoch: int


def batches_of_epoch(loader: DetectionLoader, accumulate: int) -> int:
    """Batches of an epoch that are trained on.

    Raises:
        ConfigError: with `drop_last` there is no whole update.
    """
    batches = len(loader)
    if not loader.drops_last:
        return batches
    if batches < accumulate:
        raise ConfigError(
            f"accumulate is {accumulate}, but an epoch has {counted(batches, 'batch', 'batches')} "
            "and drop_last is True, so it would have no step. Set a smaller accumulate or "
            "total_batch_size, or train_dataloader.drop_last: False."
        )
    return batches - batches % accumulate


def assemble(config: Config, options: TrainingOptions) -> Assembly:
    """Build what the configuration describes, from fresh, tuned or resumed weights.

    Raises:
        UserError: anything that the user can mend, in all processes at once.
    """
    processes = options.processes
    fresh_seed = processes.from_first(lambda: random.SystemRandom().randrange(2**31))
    with processes.failing_together():
        device = process_device(config.device, processes)
        precision = choose_precision(device, config.use_amp)
        saved = read_resume_file(options.resume) if options.resume else {}
        # A resumed run keeps its seed, so that the rest of the epoch is the rest of that epoch.
        seed = next(s for s in (seed_of(saved), config.seed, fresh_seed) if s is not None)
        # Before the model: what is wrong with the data is told at once.
        shares = {"seed": seed, "rank": processes.rank, "world_size": processes.size}
        data = configured_data(config)
        train_loader = build_dataloader(config, "train", **shares, device=device, opened=data.train)
        val_loader = build_dataloader(config, "val", **shares, device=device, opened=data.val)
        batches = batches_of_epoch(train_loader, config.accumulate)
        updates = -(-batches // config.accumulate)  # the last of an epoch may have fewer batches
        if processes.is_first:
            tell_data(config, data)
        model = seeded_model(config, seed, options.tuning or options.resume)
        report = load_tuning_file(model, options.tuning) if options.tuning else None
        if report is not None:
            logger.info("%s", report)  # in figures what the official line has as names
        _place(model, config, device, processes)
        state = _make_state(model, config, precision, seed)
        if options.resume:
            state.resume(saved, options.resume, steps_per_epoch=updates)
            logger.info("Resume checkpoint from %s", options.resume)
        if processes.is_first:
            tell_room(
                config,
                options.output_dir,
                state.checkpoint_bytes,
                state.epoch,
                updates,
                options.max_steps,
            )
    # Without auxiliary losses nothing reaches the heads of the query selection.
    find_unused = config.find_unused_parameters or not config.decoder.aux_loss
    network = processes.wrap(model, device, find_unused)
    if config.compile:
        compile_parts(model)
    return Assembly(
        device=device,
        precision=precision,
        state=state,
        network=network,
        criterion=build_criterion(config),
        postprocessor=build_postprocessor(config),
        train_loader=train_loader,
        val_loader=val_loader,
        tuning_report=report,
        batches_of_epoch=batches,
        steps_per_epoch=updates,
    )


def seeded_model(config: Config, seed: int, weights: Path | None) -> RTDETR:
    """Seed the default generator and build the model as every run begins with it.

    Args:
        config: of the run.
        seed: of the run.
        weights: the tuning file or checkpoint that will be loaded over the random weights.

    Raises:
        ConfigError: as in `build_model`.
    """
    torch.manual_seed(seed)
    return build_model(without_download(config, weights))


def without_download(config: Config, weights: Path | None) -> Config:
    """Switch off the download of backbone weights if other weights are given.

    Official files ask for that download.
    """
    if config.backbone.pretrained is True and weights is not None:
        logger.info("HGNetv2.pretrained is not used: the weights come from %s", weights)
        return config.override(["HGNetv2.pretrained=False"])
    return config


def _place(model: RTDETR, config: Config, device: torch.device, processes: Processes) -> None:
    """Move the model, before the average copies it and the optimizer holds its parameters."""
    model.to(device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.sync_bn and processes.joined:
        synchronise_norms(model, device)


def _make_state(model: nn.Module, config: Config, precision: Precision, seed: int) -> TrainingState:
    """The parts of a run that change while training, before its first step."""
    # The average copies the model, so it comes after the tuned weights.
    ema = ModelEMA(model, config.ema.decay, config.ema.warmups) if config.use_ema else None
    optimizer = build_optimizer(config, model)
    lr_scheduler = build_lr_scheduler(config, optimizer)
    warmup = None
    if config.lr_warmup_scheduler:
        warmup = LinearWarmup(optimizer, config.lr_warmup_scheduler.warmup_duration)
    return TrainingState(
        model=model,
        optimizer=optimizer,
        lr_scheduler=lr_scheduler,
        warmup=warmup,
        ema=ema,
        scaler=precision.make_scaler() if config.scaler.enabled else None,
        seed=seed,
    )


def compile_parts(model: RTDETR, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile backbone, encoder and decoder layers in place; the state dict stays as it is.

    Each part is compiled for the first picture size, once more for any size, and (the decoder) for
    another number of denoising queries. The rest of the model is not compiled: it has caches by
    size and makes denoising queries from the targets, so the compiler would compile it again for
    nearly every batch.

    An encoder with synchronised norms is not compiled either: they wait for other processes, and
    each would break the graph.

    A copy of the model made afterwards computes with the weights of its original.

    Args:
        model: to compile; nothing happens before its first batch.
        backend: of `torch.compile`.
    """
    model.backbone.compile(backend=backend)
    parts: list[tuple[nn.Module, str]] = [(model.decoder, "decode")]
    if any(isinstance(module, nn.SyncBatchNorm) for module in model.encoder.modules()):
        logger.info("The encoder is not compiled: its norms are synchronised.")
    else:
        parts.append((model.encoder, "fuse"))
    for owner, name in parts:
        setattr(owner, name, torch.compile(getattr(owner, name), backend=backend))
