"""What a run began with, found from what its folder records.

- A tuning file: the model is built from the run's seed and the file is loaded, exactly as training
  does it, so that what the file lacks is known too.
- Random weights alone: the same without a file.
- A checkpoint of another run: its weights and its average, read from that file.

Runs of the official code draw their random weights in another order. Of these only what
the tuning file holds is known.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.comparison.row import is_bookkeeping
from rtdetr_nb.checkpoint.tuning.load import load_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.records import StartRecord, events
from rtdetr_nb.runs.run import Run
from rtdetr_nb.training.assembly import seeded_model

TUNED, RANDOM, RESUMED, CONFIGURED = "tuning file", "random", "checkpoint", "HGNetv2.pretrained"

RAW, AVERAGE = "model.", "ema.module."
"""What the names of the raw and of the averaged weights begin with in a checkpoint of a run."""

OWN_PART = "rtdetr_nb"
"""The part of such a checkpoint that says where the run stood."""

Reader = Callable[[str], Tensor]


@dataclass(frozen=True)
class Beginning:
    """The weights at the first step of a run.

    Attributes:
        words: what they were, to put behind "from".
        step: optimizer updates before it; above 0 for a run that goes on with another one's.
        sources: name of each tensor that is known -> where its value comes from.
        read: value of a tensor of `sources`.
        read_average: the same of the averaged weights, which begin as a copy unless resumed.
        notes: sentences on what is not known, or known with reservation.
    """

    words: str
    step: int
    sources: Mapping[str, str] = field(repr=False)
    read: Reader = field(repr=False)
    read_average: Reader = field(repr=False)
    notes: tuple[str, ...] = ()


def find_beginning(
    run: Run, config: Config, start: str | os.PathLike[str] | None = None
) -> Beginning:
    """Find what a run began with.

    Args:
        run: that has begun.
        config: of the run.
        start: the file that it began with, where that lies elsewhere now.

    Raises:
        RunError: the file is not there, is not what it was, or the folder does not say which.
        UserError: the file cannot be read.
    """
    begun = events(run.records, "start")
    if not begun:
        raise RunError(f"The run in {run.folder} has not begun: there is nothing to compare.")
    first, description = begun[0], run.description
    tuning = [record["file"] for record in events(run.records, "tuning")]
    if description.get("resume") and not description.get("goes_on"):
        file = _existing(run, start or description["resume"], "checkpoint that it was resumed from")
        return _resumed(file, first)
    if first["step"] > 0:
        if start is None:
            raise RunError(
                f"The run in {run.folder} began at step {first['step']} with another run's "
                "checkpoint, and its folder no longer says which one. Give that file as start."
            )
        return _resumed(_existing(run, start, "checkpoint"), first)
    named = start or (tuning[0] if tuning else description.get("tuning"))
    file = _existing(run, named, "tuning file") if named else None
    if "official" in description:
        return _official(config, first, file)
    return _fresh(run, config, first, file)


def _existing(run: Run, path: str | os.PathLike[str], kind: str) -> Path:
    """The file by the path as it was given, here or in a folder that the run's own lies in."""
    # A run may have been started elsewhere, and relative paths then begin there.
    for place in (Path(path), *(folder / path for folder in run.folder.resolve().parents)):
        if place.is_file():
            return place
    raise RunError(
        f"The {kind} of the run in {run.folder}, {os.fspath(path)}, is not there. Give the place "
        "where it lies now as start."
    )


def _fresh(run: Run, config: Config, first: StartRecord, file: Path | None) -> Beginning:
    """Rebuild the seeded weights, and load the tuning file over them, as training does."""
    seed = first.get("seed")
    if seed is None:
        raise RunError(
            f"The records in {run.folder} do not say the seed of the run, so its random weights "
            "cannot be made again."
        )
    with torch.random.fork_rng(devices=[]):
        model = seeded_model(config, seed, file)
    loaded = frozenset(load_tuning_file(model, file).loaded) if file else frozenset()
    state = model.state_dict()
    backbone = CONFIGURED if file is None and config.backbone.pretrained else RANDOM
    sources = {
        name: TUNED if name in loaded else backbone if name.startswith("backbone.") else RANDOM
        for name in state
    }
    words = file.name if file else f"random weights (seed {seed})"
    read = state.__getitem__
    notes = [*_age_note(first, file), *_seed_notes(run, sources, seed)]
    return Beginning(words, 0, sources, read, read, tuple(notes))


def _seed_notes(run: Run, sources: Mapping[str, str], seed: int) -> list[str]:
    """What was made again from the seed, and what may be wrong with that."""
    weights = [name for name in sources if not is_bookkeeping(name)]
    random = {name.partition(".")[0] for name in weights if sources[name] == RANDOM}
    if not random:
        return []
    parts = ", ".join(part for part in ("backbone", "encoder", "decoder") if part in random)
    notes = [f"What began at random ({parts}) was made again from the seed {seed}."]
    used, here = run.description.get("versions", {}).get("torch"), version("torch")
    if used and used != here:
        notes.append(
            f"The run had torch {used} and this is torch {here}: where its generator differs, so "
            "do the random weights."
        )
    return notes


def _age_note(first: StartRecord, file: Path | None) -> list[str]:
    """A file that was written again since the run began may hold other values now."""
    if file is None or file.stat().st_mtime <= first.get("time", math.inf):
        return []
    return [f"{file.name} was written after the run began: it is taken to hold the same values."]


def _official(config: Config, first: StartRecord, file: Path | None) -> Beginning:
    """What the tuning file holds; the random rest is not known."""
    note = "The official code draws its random weights by itself: what was random is left out."
    if file is None:
        return Beginning("random weights", 0, {}, _unknown, _unknown, (note,))
    with torch.random.fork_rng(devices=[]):
        model = seeded_model(config, 0, file)
    loaded = load_tuning_file(model, file).loaded
    read = model.state_dict().__getitem__
    notes = (*_age_note(first, file), note)
    return Beginning(file.name, 0, dict.fromkeys(loaded, TUNED), read, read, notes)


def _unknown(name: str) -> Tensor:
    raise KeyError(name)


def _resumed(file: Path, first: StartRecord) -> Beginning:
    """The weights in another run's checkpoint, tensor by tensor."""
    checkpoint = open_checkpoint(file)
    step = step_of(checkpoint)
    if step is not None and step != first["step"]:
        raise RunError(
            f"{file} has gone on since: the run began at step {first['step']}, and the file is at "
            f"step {step}. Give a copy from then as start."
        )
    names = tensor_names(checkpoint, RAW)
    average = AVERAGE if tensor_names(checkpoint, AVERAGE) else RAW
    return Beginning(
        f"{file.name} at step {first['step']}",
        first["step"],
        dict.fromkeys(names, RESUMED),
        lambda name: read_tensor(checkpoint, RAW, name),
        lambda name: read_tensor(checkpoint, average, name),
    )


def tensor_names(checkpoint: Checkpoint, prefix: str) -> list[str]:
    """Names in the model of what a checkpoint holds below `RAW` or `AVERAGE`."""
    return [key.removeprefix(prefix) for key in checkpoint.tensors if key.startswith(prefix)]


def read_tensor(checkpoint: Checkpoint, prefix: str, name: str) -> Tensor:
    """One tensor of those below `prefix`."""
    return checkpoint.read([prefix + name])[prefix + name]


def step_of(checkpoint: Checkpoint) -> int | None:
    """Optimizer updates before a checkpoint of this kit; None for one of the official code."""
    own = checkpoint.tree.get(OWN_PART) if isinstance(checkpoint.tree, Mapping) else None
    step = own.get("step") if isinstance(own, Mapping) else None
    return step if isinstance(step, int) else None
