"""The training loop: a generator of records, which knows no plot, no terminal and no file format.

Its records are described by `rtdetr_nb.runs.records`.
"""

import itertools
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.evaluation import Evaluation
from rtdetr_nb.errors import DatasetError, DataWorkerError, NonFiniteLossError, TrainingError
from rtdetr_nb.files.atomic_file import share_atomically
from rtdetr_nb.runs.file_names import BEST_FILE, LAST_FILE
from rtdetr_nb.runs.records import Record, as_record
from rtdetr_nb.training.assembly import Assembly, TrainingOptions, assemble
from rtdetr_nb.training.evaluate import EvaluationStopped, evaluate_in_steps
from rtdetr_nb.training.failures import named_failures
from rtdetr_nb.training.preview import Preview
from rtdetr_nb.training.recording import start_record, step_record, tuning_facts
from rtdetr_nb.training.step import Batch, StepResult, train_step

_SECONDS_BETWEEN_TELLING = 5.0  # how far an evaluation is
# Parts of a picture's target. The others identify the picture and stay on the host.
_ON_DEVICE = ("labels", "boxes")


def train(config: Config, options: TrainingOptions) -> Iterator[Record]:
    """Train as configured; yields a record for each event, the same in all processes.

    Checkpoints are written to the output folder as it goes: `last.pth` at the end of each epoch and
    at the end of the run, `best.pth` at each best evaluation.

    Raises:
        UserError: anything that the user can mend; `NonFiniteLossError` if the loss is not finite,
            with the state before that step in `last.pth`; `TrainingError` if another process of the
            run is gone.
    """
    with named_failures(options.output_dir):
        yield from _Training(config, options, assemble(config, options)).run()


class _Training:
    """The loop over the objects of a run."""

    def __init__(self, config: Config, options: TrainingOptions, parts: Assembly) -> None:
        self.config = config
        self.options = options
        self.parts = parts
        self.state = parts.state
        self.processes = options.processes
        self.state.use_batch_size(parts.train_loader.images_per_batch * self.processes.size)
        dataset = parts.val_loader.dataset
        self.preview = Preview(config, dataset, parts.device, parts.precision)
        self._stopping = False

    def run(self) -> Iterator[Record]:
        """Train to the end, or until it is asked to stop."""
        state, report = self.state, self.parts.tuning_report
        yield start_record(self.parts, self.processes, self._total_steps(), self.config.accumulate)
        if report is not None:
            yield as_record({"event": "tuning", "step": state.step, **tuning_facts(report)})
        yield from self._preview()
        self._check_stop()
        try:
            yield from self._epochs()
        except (NonFiniteLossError, DatasetError, DataWorkerError):
            self._save(LAST_FILE)  # the state after the last whole step
            raise
        yield self._save(LAST_FILE)
        if not self._stopping and state.evaluated_step != state.step:
            yield from self._evaluate()
        yield {"event": "stop" if self._stopping else "end", "step": state.step}

    def _epochs(self) -> Iterator[Record]:
        """Epoch after epoch, each with its checkpoint and then, if it is due, its evaluation."""
        state, config = self.state, self.config
        while True:
            due = state.batch == 0 < state.epoch and state.epoch % config.eval_freq == 0
            # A run that was killed during an evaluation evaluates here.
            if due and state.evaluated_step != state.step and not self._stopping:
                yield from self._evaluate()
                self._check_stop()
            if state.epoch >= config.epoches or self._is_over():
                return
            yield from self._train_epoch()
            if state.batch < self.parts.batches_of_epoch:
                return  # the run ends before the epoch does
            yield from self._end_epoch()

    def _total_steps(self) -> int:
        steps = self.config.epoches * self.parts.steps_per_epoch
        return min(steps, self.options.max_steps) if self.options.max_steps else steps

    def _check_stop(self) -> None:
        """Look in all processes whether to stop, so that they stop after the same step."""
        self._stopping = self._stopping or self.processes.any(self.options.stop_requested())

    def _is_over(self) -> bool:
        limit, wanted = self.options.max_steps, self.config.stop_at_ap
        if wanted is not None and (self.state.best_ap or 0.0) >= wanted:
            return True
        return self._stopping or (limit is not None and self.state.step >= limit)

    def _train_epoch(self) -> Iterator[Record]:
        """Train from the state's position in the epoch to its end."""
        state, loader = self.state, self.parts.train_loader
        state.model.train()
        loader.set_position(state.epoch, state.batch)
        began = time.perf_counter()
        for batches in self._updates():
            waited = time.perf_counter() - began
            rates = [group["lr"] for group in state.optimizer.param_groups]
            result = self._step(batches)
            spent = time.perf_counter() - began
            yield step_record(state, result, rates, waited, spent, self.parts.device)
            yield from self._preview()
            self._check_stop()
            if self._is_over():
                return
            began = time.perf_counter()

    def _updates(self) -> Iterator[list[Batch]]:
        """The batches of each update of the epoch that are left, on the device.

        The last batches of an epoch may be too few for an update. As single pictures that are too
        few for a batch, they are left out with `drop_last`, and else make a smaller update.
        """
        fetched = self.processes.in_step(self.parts.train_loader)
        while batches := list(itertools.islice(fetched, self.config.accumulate)):
            if self.state.batch + len(batches) <= self.parts.batches_of_epoch:
                yield [self._to_device(*batch) for batch in batches]

    def _step(self, batches: list[Batch]) -> StepResult:
        """One update with the objects of the run."""
        parts = self.parts
        return train_step(
            self.state,
            parts.network,
            parts.criterion,
            batches,
            parts.precision,
            self.config.clip_max_norm,
            self.processes,
        )

    def _to_device(self, images: torch.Tensor, targets: Any) -> Batch:
        """Pictures and targets on the model's device, pictures in its memory format."""
        device = self.parts.device
        images = images.to(device, non_blocking=True)
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        targets = [
            target | {name: target[name].to(device, non_blocking=True) for name in _ON_DEVICE}
            for target in targets
        ]
        return images, targets

    def _preview(self) -> Iterator[Record]:
        if self.processes.is_first:
            yield from self.preview.records(self.state.step, self.state.evaluated_model)

    def _end_epoch(self) -> Iterator[Record]:
        """Step the schedule and write the checkpoints of the epoch."""
        state = self.state
        if state.warmup is None or state.warmup.finished:
            state.lr_scheduler.step()
        finished = state.epoch
        state.epoch, state.batch = state.epoch + 1, 0
        yield self._save(LAST_FILE)
        if (finished + 1) % self.config.checkpoint_freq == 0:
            yield self._save(f"checkpoint{finished:04}.pth")

    def _evaluate(self) -> Iterator[Record]:
        """Evaluate the averaged weights, and keep them if they are the best so far."""
        state = self.state
        self.processes.copy_buffers(state.evaluated_model)
        try:
            result = yield from self._evaluation_steps()
        except EvaluationStopped:
            self._stopping = True  # a resumed run evaluates this step
            return
        where = {"event": "evaluation", "step": state.step, "epoch": state.epoch}
        yield as_record({**where, **result.figures})
        state.evaluated_step = state.step
        if state.best_ap is None or result.ap > state.best_ap:
            state.best_ap = result.ap
            yield self._save(BEST_FILE)
            self._share_best()

    def _share_best(self) -> None:
        """Let `last.pth` be the best file: the same state, and it knows of its evaluation."""
        if self.processes.is_first:
            folder = self.options.output_dir
            share_atomically(folder / BEST_FILE, folder / LAST_FILE)

    def _evaluation_steps(self) -> Generator[Record, None, Evaluation]:
        """Evaluate, and tell now and then how far that is."""
        parts = self.parts
        pictures, told = len(parts.val_loader.dataset), time.monotonic()
        steps = evaluate_in_steps(
            self.state.evaluated_model,
            parts.postprocessor,
            parts.val_loader,
            parts.val_loader.dataset.coco,
            parts.device,
            parts.precision,
            self.processes,
            self.options.stop_requested,
        )
        while True:
            try:
                done = min(next(steps) * self.processes.size, pictures)
            except StopIteration as end:
                return end.value
            if time.monotonic() - told >= _SECONDS_BETWEEN_TELLING:
                told = time.monotonic()
                step = self.state.step
                yield {"event": "evaluating", "step": step, "done": done, "of": pictures}

    def _save(self, name: str) -> Record:
        """Let the first process write a checkpoint; if it cannot, all processes end."""
        with self.processes.failing_together():
            if self.processes.is_first:
                self._write(name)
        return {"event": "checkpoint", "step": self.state.step, "file": name}

    def _write(self, name: str) -> None:
        try:
            self.state.save(self.options.output_dir / name)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise TrainingError(
                f"{name} cannot be written to {self.options.output_dir}: "
                f"{str(error).splitlines()[0]}. The checkpoint before it is kept. Make room, or "
                "resume with another --output-dir."
            ) from error
