"""The training loop: a generator of records, which knows no plot, no terminal and no file format.

A record of a step has `step`, `epoch`, `loss`, each loss by its official name, `lr` for each
parameter group, `grad_norm`, and `seconds` for the step with `data_seconds` of it spent waiting for
data. Any other record has `event`.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from rtdetr_nb.checkpoint.tuning import TuningReport, load_tuning_file
from rtdetr_nb.config import Config
from rtdetr_nb.datasets.loader import build_dataloader
from rtdetr_nb.errors import NonFiniteLossError, TrainingError
from rtdetr_nb.model.build import build_model, build_postprocessor
from rtdetr_nb.training.criterion import build_criterion
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.evaluate import Evaluation, evaluate
from rtdetr_nb.training.history import Record
from rtdetr_nb.training.optimizer import LinearWarmup, build_lr_scheduler, build_optimizer
from rtdetr_nb.training.precision import Precision, choose_device, choose_precision
from rtdetr_nb.training.preview import Preview
from rtdetr_nb.training.run_folder import BEST_FILE, LAST_FILE
from rtdetr_nb.training.state import TrainingState, load_evaluated_weights
from rtdetr_nb.training.step import train_step

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
        stop_requested: asked after each step; True ends the run with a checkpoint.
    """

    output_dir: Path
    tuning: Path | None = None
    resume: Path | None = None
    max_steps: int | None = None
    stop_requested: Callable[[], bool] = lambda: False


def train(config: Config, options: TrainingOptions) -> Iterator[Record]:
    """Train as configured, yielding a record for whatever happens.

    Checkpoints are written to the output folder as it goes: `last.pth` at the end of each epoch and
    at the end of the run, `best.pth` at each best evaluation.

    Raises:
        UserError: anything that the user can mend; `NonFiniteLossError` if the loss is not finite,
            with the state before that step in `last.pth`.
    """
    yield from _Training(config, options).run()


class _Training:
    """The objects of a run, put together, and the loop over them."""

    def __init__(self, config: Config, options: TrainingOptions) -> None:
        self.config = config
        self.options = options
        self.device = choose_device(config.device)
        self.precision = choose_precision(self.device, config.use_amp)
        seed = random.SystemRandom().randrange(2**31) if config.seed is None else config.seed
        torch.manual_seed(seed)
        self.model = build_model(_without_download(config, options))
        self.tuning_report = None
        if options.tuning:
            self.tuning_report = load_tuning_file(self.model, options.tuning)
        self._place_model()
        self.train_loader = build_dataloader(config, "train", seed=seed)
        self.val_loader = build_dataloader(config, "val", seed=seed)
        self.state = self._make_state(seed)
        if options.resume:
            self.state.load(options.resume, steps_per_epoch=len(self.train_loader))
            logger.info("Resume checkpoint from %s", options.resume)
        self.criterion = build_criterion(config)
        self.postprocessor = build_postprocessor(config)
        self.preview = Preview(config, self.val_loader.dataset, self.device, self.precision)
        self.network: nn.Module = self.model
        if config.compile:
            self.network = torch.compile(self.model)  # type: ignore[assignment]

    def _place_model(self) -> None:
        memory_format = torch.channels_last if self.config.channels_last else None
        self.model.to(self.device)
        if memory_format:
            self.model.to(memory_format=memory_format)

    def _make_state(self, seed: int) -> TrainingState:
        config = self.config
        # The average copies the model, so it comes after the tuned weights.
        ema = ModelEMA(self.model, config.ema.decay, config.ema.warmups) if config.use_ema else None
        optimizer = build_optimizer(config, self.model)
        lr_scheduler = build_lr_scheduler(config, optimizer)
        warmup = None
        if config.lr_warmup_scheduler:
            warmup = LinearWarmup(optimizer, config.lr_warmup_scheduler.warmup_duration)
        return TrainingState(
            model=self.model,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            warmup=warmup,
            ema=ema,
            scaler=self.precision.make_scaler() if config.scaler.enabled else None,
            seed=seed,
        )

    def run(self) -> Iterator[Record]:
        state, config = self.state, self.config
        yield self._start_record()
        if self.tuning_report is not None:
            yield {"event": "tuning", "step": state.step, **_tuning_facts(self.tuning_report)}
        evaluated_at = -1
        yield from self.preview.records(state.step, state.evaluated_model)
        try:
            while state.epoch < config.epoches and not self._is_over():
                yield from self._train_epoch()
                if state.batch < len(self.train_loader):
                    break  # stopped within the epoch
                yield from self._end_epoch()
                if state.epoch % config.eval_freq == 0:
                    yield from self._evaluate()
                    evaluated_at = state.step
        except NonFiniteLossError:
            self._save(LAST_FILE)
            raise
        yield self._save(LAST_FILE)
        if self.options.stop_requested():
            yield {"event": "stop", "step": state.step}
            return
        if evaluated_at != state.step:
            yield from self._evaluate()
        yield {"event": "end", "step": state.step}

    def _start_record(self) -> Record:
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        logger.info("number of trainable parameters: %d", trainable)
        if self.precision.note:
            logger.warning(self.precision.note)
        dtype = self.precision.dtype
        return {
            "event": "start",
            "step": self.state.step,
            "total_steps": self._total_steps(),
            "steps_per_epoch": len(self.train_loader),
            "device": str(self.device),
            "precision": str(dtype).removeprefix("torch.") if dtype else "float32",
            "seed": self.state.seed,
            "trainable_parameters": trainable,
        }

    def _total_steps(self) -> int:
        steps = self.config.epoches * len(self.train_loader)
        return min(steps, self.options.max_steps) if self.options.max_steps else steps

    def _is_over(self) -> bool:
        limit = self.options.max_steps
        reached = limit is not None and self.state.step >= limit
        return reached or self.options.stop_requested()

    def _train_epoch(self) -> Iterator[Record]:
        """Train to the end of the epoch, from wherever in it the state stands."""
        state = self.state
        self.model.train()
        self.train_loader.set_position(state.epoch, state.batch)
        began = time.perf_counter()
        for images, targets in self.train_loader:
            batch = self._to_device(images, targets)
            data_seconds = time.perf_counter() - began
            rates = [group["lr"] for group in state.optimizer.param_groups]
            epoch = state.epoch
            result = train_step(
                state,
                self.network,
                self.criterion,
                batch,
                self.precision,
                self.config.clip_max_norm,
            )
            now = time.perf_counter()
            yield {
                "step": state.step,
                "epoch": epoch,
                "loss": result.loss,
                **result.losses,
                "lr": rates,
                "grad_norm": result.grad_norm,
                "seconds": round(now - began, 4),
                "data_seconds": round(data_seconds, 4),
            }
            yield from self.preview.records(state.step, state.evaluated_model)
            if self._is_over():
                return
            began = time.perf_counter()

    def _to_device(self, images: torch.Tensor, targets: Any) -> Any:
        images = images.to(self.device, non_blocking=True)
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        targets = [
            {name: value.to(self.device, non_blocking=True) for name, value in target.items()}
            for target in targets
        ]
        return images, targets

    def _end_epoch(self) -> Iterator[Record]:
        state = self.state
        if state.warmup is None or state.warmup.finished:
            state.lr_scheduler.step()
        finished = state.epoch
        state.epoch, state.batch = state.epoch + 1, 0
        yield self._save(LAST_FILE)
        if (finished + 1) % self.config.checkpoint_freq == 0:
            yield self._save(f"checkpoint{finished:04}.pth")

    def _evaluate(self) -> Iterator[Record]:
        state = self.state
        result = evaluate_state(
            state.evaluated_model, self.postprocessor, self.val_loader, self.device, self.precision
        )
        yield {"event": "evaluation", "step": state.step, "epoch": state.epoch, **asdict(result)}
        if state.best_ap is None or result.ap > state.best_ap:
            state.best_ap = result.ap
            yield self._save(BEST_FILE)

    def _save(self, name: str) -> Record:
        try:
            self.state.save(self.options.output_dir / name)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise TrainingError(
                f"{name} cannot be written to {self.options.output_dir}: "
                f"{str(error).splitlines()[0]}. The checkpoint before it is kept. Make room, or "
                "resume with another --output-dir."
            ) from error
        return {"event": "checkpoint", "step": self.state.step, "file": name}


def _tuning_facts(report: TuningReport) -> Record:
    """What a tuning file did, for the record: names in full, except of what was loaded."""
    return {
        "file": str(report.path),
        "source": report.source,
        "loaded": len(report.loaded),
        "missed": list(report.missed),
        "unmatched": list(report.unmatched),
        "unused": list(report.unused),
    }


def evaluate_state(
    model: nn.Module,
    postprocessor: nn.Module,
    loader: DataLoader[Any],
    device: torch.device,
    precision: Precision,
) -> Evaluation:
    """Evaluate on the data set that `loader` reads."""
    dataset: Any = loader.dataset
    return evaluate(model, postprocessor, loader, dataset.coco, device, precision)


def _without_download(config: Config, options: TrainingOptions) -> Config:
    """Official files ask for a download of backbone weights; other weights make that needless."""
    if config.backbone.pretrained is True and (options.tuning or options.resume):
        logger.info("HGNetv2.pretrained is not used: the weights come from %s", options)
        return config.override(["HGNetv2.pretrained=False"])
    return config


def evaluate_weights(
    config: Config, *, tuning: Path | None = None, resume: Path | None = None
) -> Evaluation:
    """Evaluate a tuning file, or the averaged weights of a run's checkpoint, on the validation set.

    Raises:
        UserError: the weights or the data cannot be used.
    """
    device = choose_device(config.device)
    precision = choose_precision(device, config.use_amp)
    options = TrainingOptions(Path(), tuning=tuning, resume=resume)
    model = build_model(_without_download(config, options))
    if tuning:
        load_tuning_file(model, tuning)
    elif resume:
        load_evaluated_weights(model, resume)
    loader = build_dataloader(config, "val")
    return evaluate_state(model.to(device), build_postprocessor(config), loader, device, precision)
