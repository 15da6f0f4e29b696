"""Everything that changes while training, saved and loaded in the official layout."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from rtdetr_nb.atomic_file import write_atomically
from rtdetr_nb.errors import RunError
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.optimizer import LinearWarmup

# Our own part of a checkpoint; the official loader does not look at it.
_OWN_KEY = "rtdetr_nb"


@dataclass
class TrainingState:
    """The parts of a training run that a checkpoint has to hold.

    Attributes:
        model: not wrapped.
        step: optimizer updates so far.
        epoch: the current epoch, from 0.
        batch: batches of the current epoch so far.
        seed: all randomness is keyed by the seed, the epoch and the sample, or the seed and the
            step, so no generator state has to be saved.
        best_ap: the best AP so far, or None before the first evaluation.
        evaluated_step: the step of the last evaluation; None before the first. A run that ends
            between an epoch and its evaluation makes up for it when it is resumed.
    """

    model: nn.Module
    optimizer: Optimizer
    lr_scheduler: MultiStepLR
    warmup: LinearWarmup | None
    ema: ModelEMA | None
    scaler: torch.amp.GradScaler | None
    seed: int
    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_ap: float | None = None
    evaluated_step: int | None = None

    @property
    def evaluated_model(self) -> nn.Module:
        """The averaged model if there is one, else the model itself."""
        return self.ema.module if self.ema else self.model

    def state_dict(self) -> dict[str, Any]:
        """The official layout: `model`, `ema`, `optimizer`, ..., and a part of our own."""
        state: dict[str, Any] = {
            "date": datetime.now().isoformat(),
            # Official: the last epoch that is complete.
            "last_epoch": self.epoch - 1,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
        }
        if self.ema:
            state["ema"] = self.ema.state_dict()
        if self.warmup:
            state["lr_warmup_scheduler"] = self.warmup.state_dict()
        if self.scaler:
            state["scaler"] = self.scaler.state_dict()
        state[_OWN_KEY] = {
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "seed": self.seed,
            "best_ap": self.best_ap,
            "evaluated_step": self.evaluated_step,
        }
        return state

    def save(self, path: Path) -> None:
        """Write the checkpoint; the previous file stays until the new one is whole."""
        state = self.state_dict()
        write_atomically(path, lambda temporary: torch.save(state, temporary))

    def load(self, path: Path, steps_per_epoch: int) -> None:
        """Go on from a checkpoint written here or by the official code.

        Raises:
            RunError: the file is no such checkpoint, or is one of another model.
        """
        self.restore(read_resume_file(path), path, steps_per_epoch)

    def restore(self, state: dict[str, Any], path: Path, steps_per_epoch: int) -> None:
        """Go on from the content of the checkpoint at `path`; see `load`."""
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(
                f"{path} is of another model or optimizer than the configuration describes: "
                f"{_summary(error)}. Resume with the configuration that the run began with (-c), "
                "or start a new run from its weights (-t)."
            ) from error
        for name, part in (
            ("lr_scheduler", self.lr_scheduler),
            ("lr_warmup_scheduler", self.warmup),
            ("ema", self.ema),
            ("scaler", self.scaler),
        ):
            if part is not None and state.get(name):
                part.load_state_dict(state[name])
        own = state.get(_OWN_KEY)
        if own is None:  # of the official code, which saves at the end of an epoch
            self.epoch, self.batch = int(state["last_epoch"]) + 1, 0
            self.step = self.epoch * steps_per_epoch
            return
        self.step, self.epoch, self.batch = own["step"], own["epoch"], own["batch"]
        self.seed, self.best_ap = own["seed"], own["best_ap"]
        self.evaluated_step = own.get("evaluated_step")


def seed_of(state: dict[str, Any]) -> int | None:
    """The seed that a checkpoint's run has; None in one of the official code."""
    return state.get(_OWN_KEY, {}).get("seed")


def read_resume_file(path: Path) -> dict[str, Any]:
    """The content of a checkpoint to resume from; nothing in it is executed.

    Raises:
        RunError: there is no such file, or it is none to resume from.
    """
    if not path.is_file():
        raise RunError(f"There is no file {path} to resume from (-r); give a run's last.pth.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - torch.load fails in many ways on a wrong file
        raise RunError(
            f"{path} cannot be read as a checkpoint to resume from ({type(error).__name__}). Give "
            "a run's last.pth; to start from weights alone use a tuning file (-t)."
        ) from error
    missing = [key for key in ("model", "optimizer", "last_epoch") if key not in state]
    if missing:
        raise RunError(
            f"{path} holds no {', '.join(missing)}, so a run cannot be resumed from it. Give a "
            "run's last.pth, or use the file's weights as a tuning file (-t)."
        )
    return state


def load_evaluated_weights(model: nn.Module, path: Path) -> None:
    """Load the averaged weights of a run's checkpoint, or its raw ones if none were averaged.

    Raises:
        RunError: the file is no such checkpoint, or is one of another model.
    """
    state = read_resume_file(path)
    weights = state["ema"]["module"] if state.get("ema") else state["model"]
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(
            f"{path} is of another model than the configuration describes: {_summary(error)}. Give "
            "the configuration of that run (-c)."
        ) from error


def _summary(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__
