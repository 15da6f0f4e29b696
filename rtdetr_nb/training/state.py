"""Everything that changes while training, saved and loaded in the official layout."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from rtdetr_nb.errors import RunError
from rtdetr_nb.files.atomic_file import write_atomically
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.optimizer import LinearWarmup

logger = logging.getLogger(__name__)

_MOMENTS = 2  # AdamW keeps two numbers for each that it trains
# The part of a checkpoint that only this package writes; the official loader ignores it.
_OWN_KEY = "rtdetr_nb"
# What PyTorch raises for a damaged checkpoint, or one of another program.
_WRONG_CONTENT = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)


@dataclass
class TrainingState:
    """The parts of a training run that a checkpoint has to hold.

    Attributes:
        model: not wrapped.
        step: optimizer updates so far.
        epoch: the current epoch, from 0.
        batch: batches of the current epoch so far, of `total_batch_size` pictures each.
        seed: all randomness is keyed by the seed, the epoch and the sample, or the seed and the
            step, so no generator state has to be saved.
        best_ap: the best AP so far, or None before the first evaluation.
        evaluated_step: the step of the last evaluation; None before the first. A run that ends
            between an epoch and its evaluation evaluates when it is resumed.
        total_batch_size: pictures of a step, over all processes; None if it is not known.
        skipped_updates: how many of the last steps in a row the scaler has skipped.
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
    total_batch_size: int | None = None
    skipped_updates: int = 0

    @property
    def evaluated_model(self) -> nn.Module:
        """The averaged model if there is one, else the model itself."""
        return self.ema.module if self.ema else self.model

    def state_dict(self) -> dict[str, Any]:
        """The official layout (`model`, `ema`, `optimizer`, ...) and one part that is only ours."""
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
            "total_batch_size": self.total_batch_size,
        }
        return state

    def save(self, path: Path) -> None:
        """Write the checkpoint; the previous file stays until the new one is whole."""
        state = self.state_dict()
        write_atomically(path, lambda temporary: torch.save(state, temporary))

    def resume(self, state: dict[str, Any], path: Path, steps_per_epoch: int) -> None:
        """Go on from a checkpoint written here or by the official code.

        Args:
            state: its content, as `read_resume_file` gives it.
            path: of the checkpoint, for messages.
            steps_per_epoch: of this run; official checkpoints count epochs only.

        Raises:
            RunError: a part of it is damaged, or is of another model or optimizer.
        """
        for name, part, is_needed in (
            ("model", self.model, True),
            ("optimizer", self.optimizer, True),
            ("lr_scheduler", self.lr_scheduler, False),
            ("lr_warmup_scheduler", self.warmup, False),
            ("ema", self.ema, False),
            ("scaler", self.scaler, False),
        ):
            if part is not None and (is_needed or state.get(name)):
                with _explained(path, name):
                    part.load_state_dict(state[name])
        if self.ema and not state.get("ema"):
            logger.warning("%s holds no average (ema): it begins with the weights.", path)
            self.ema.module.load_state_dict(self.model.state_dict())
        own = state.get(_OWN_KEY)
        if own is None:  # of the official code, which saves at the end of an epoch
            with _explained(path, "last_epoch"):
                self.epoch, self.batch = int(state["last_epoch"]) + 1, 0
            self.step = self.epoch * steps_per_epoch
            return
        self.step, self.epoch, self.batch = own["step"], own["epoch"], own["batch"]
        self.seed, self.best_ap = own["seed"], own.get("best_ap")
        self.evaluated_step = own.get("evaluated_step")
        self.total_batch_size = own.get("total_batch_size")

    @property
    def checkpoint_bytes(self) -> int:
        """The size of a checkpoint once the optimizer has made a step."""
        weights = [*self.model.state_dict().values()]
        averaged = [*self.ema.module.state_dict().values()] if self.ema else []
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        kept = (*weights, *averaged, *(_MOMENTS * trained))
        return sum(each.numel() * each.element_size() for each in kept)

    def use_batch_size(self, total: int) -> None:
        """Set the batch size; if it changed, convert the position in the epoch.

        The run goes on at the last whole batch of the new size, so that no picture is missed.

        Args:
            total: pictures of a step, over all processes.
        """
        before = self.total_batch_size
        if self.batch and before is not None and before != total:
            pictures = self.batch * before
            self.batch = pictures // total
            logger.info(
                "A step now has %d pictures, not %d: epoch %d goes on behind its first %d pictures "
                "(%d were seen).",
                total, before, self.epoch, self.batch * total, pictures,
            )  # fmt: skip
        self.total_batch_size = total


def seed_of(state: dict[str, Any]) -> int | None:
    """The seed of the run that wrote a checkpoint; None if the official code wrote it."""
    own = state.get(_OWN_KEY)
    return None if own is None else own["seed"]


def read_resume_file(path: Path) -> dict[str, Any]:
    """The content of a checkpoint to resume from; nothing in it is executed.

    Raises:
        RunError: there is no such file, or a run cannot be resumed from it.
    """
    state = _read_content(path)
    missing = [key for key in ("model", "optimizer", "last_epoch") if key not in state]
    if missing:
        raise RunError(
            f"{path} holds no {', '.join(missing)}, so a run cannot be resumed from it. Give a "
            "run's last.pth, or use the file's weights as a tuning file (-t)."
        )
    _check_own_part(state.get(_OWN_KEY), path)
    return state


def _read_content(path: Path) -> dict[str, Any]:
    """The content of a file that `-r` names.

    Raises:
        RunError: there is no such file, or it is not a dict of torch.save.
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
    if not isinstance(state, dict):
        raise RunError(
            f"{path} is not a checkpoint to resume from: it holds a {type(state).__name__}, not a "
            "dict. Give a run's last.pth."
        )
    return state


def _check_own_part(own: object, path: Path) -> None:
    """Refuse a part that lacks what a run needs to go on; official files have None."""
    if own is None:
        return
    facts = own if isinstance(own, dict) else {}
    needed = ("step", "epoch", "batch", "seed")
    wrong = [name for name in needed if not isinstance(facts.get(name), int)]
    optional = ("best_ap", "evaluated_step", "total_batch_size")
    wrong += [n for n in optional if not isinstance(facts.get(n), int | float | None)]
    if wrong:
        raise RunError(
            f"{path} does not say where the run stood: its part {_OWN_KEY!r} has no number for "
            f"{', '.join(wrong)}. Give a run's last.pth, or use the file's weights as a tuning "
            "file (-t)."
        )


def load_evaluated_weights(model: nn.Module, path: Path, use_ema: bool = True) -> None:
    """Load what `--test-only -r` evaluates: of a run's checkpoint, or of a released model.

    Parity: the official code evaluates the average where the configuration has one (`use_ema`), and
    asks for no other part of the file. Where the file has no average, the official code evaluates
    random weights; here its raw weights are evaluated, and that is logged.

    Args:
        model: changed in place.
        path: a file with `['ema']['module']`, `['model']` or both.
        use_ema: take the average if there are both, else the raw weights.

    Raises:
        RunError: the file has neither, or is one of another model.
    """
    state = _read_content(path)
    wanted = ("ema", "model") if use_ema else ("model", "ema")
    name = next((part for part in wanted if state.get(part)), None)
    if name is None:
        held = first_of([str(key) for key in state]) or "nothing"
        raise RunError(
            f"{path} holds neither an average (ema) nor a model to evaluate, but {held}: the "
            "official code would evaluate random weights. Give a run's last.pth or a released "
            "model, or evaluate a tuning file with -t FILE --test-only."
        )
    if name != wanted[0]:
        logger.warning("%s", _OTHER_PART[name].format(path=path))
    with _explained(path, name):
        model.load_state_dict(state["ema"]["module"] if name == "ema" else state["model"])


_OTHER_PART = {
    "model": "{path} holds no average (ema): its raw weights are evaluated. The official code "
    "evaluates random weights there.",
    "ema": "{path} holds no raw weights (model): its average is evaluated, although use_ema is "
    "False. The official code evaluates random weights there.",
}
"""What is said where the file has the other part only, by the part that is taken."""


@contextlib.contextmanager
def _explained(path: Path, part: str) -> Iterator[None]:
    """Turn an error in a part of the checkpoint at `path` into a sentence."""
    try:
        yield
    except _WRONG_CONTENT as error:
        raise RunError(
            f"{path} is damaged, or of another model or optimizer than the configuration "
            f"describes: its {part!r} cannot be used ({_summary(error)}). Give the configuration "
            "that the run began with (-c), or start a new run from its weights (-t)."
        ) from error


def _summary(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__
    return line.rstrip(".")
