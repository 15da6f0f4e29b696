"""The doors of the official code: what it does with the content of a file that comes through each.

| door | what it loads |
|---|---|
| `-t` | `['ema']['module']`, else `['model']`: the same name and shape; skips the rest |
| `-r` | the parts of the solver that the file has, strictly; skips the others |
| `-r --test-only` | the same; evaluates the average, which is `['ema']` |
| `pretrained` | `HGNetv2.pretrained=FILE`: the backbone, strictly, by its bare names |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rtdetr_nb.architecture.key_info import is_batch_counter
from rtdetr_nb.architecture.state_dict_table import BACKBONE, ModelConfig, model_keys
from rtdetr_nb.checkpoint.official_loader.resume import Resumed, resume
from rtdetr_nb.checkpoint.official_loader.rules import (
    OfficialError,
    OfficialMatch,
    match_officially,
)
from rtdetr_nb.checkpoint.official_loader.strict import load_strictly
from rtdetr_nb.errors import UserError
from rtdetr_nb.text.findings import FAILURE, WARNING, Finding
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.suggestion import suggest

TUNING, RESUME, TEST, PRETRAINED = "-t", "-r", "-r --test-only", "pretrained"

# What an object of another kind than expected raises where it is looked into.
_WRONG_CONTENT = (LookupError, TypeError, AttributeError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Passage:
    """What the official code does with the content of a file.

    Attributes:
        printed: the lines about weights that it prints.
        error: what ends it, if anything does.
        source: the state dict that is taken; "" for none.
        match: what becomes of the tensors of the model that trains or is evaluated.
        outcome: the result in a few words.
        finding: what is wrong with it, if anything is.
    """

    printed: tuple[str, ...] = ()
    error: OfficialError | None = None
    source: str = ""
    match: OfficialMatch | None = None
    outcome: str = ""
    finding: Finding | None = None


def find_door(name: str) -> str:
    """Return the door of that name; blanks do not count.

    Raises:
        UserError: there is no such door.
    """
    given = " ".join(str(name).split())
    if given in DOORS:
        return given
    known = ", ".join(map(repr, DOORS))
    raise UserError(
        f"The official code has no door {name!r}; its doors are {known}. {_meant(given)}".rstrip()
    )


_SPELLINGS = {
    "--tuning": TUNING,
    "tuning": TUNING,
    "--resume": RESUME,
    "resume": RESUME,
    "--test-only": TEST,
    "--test-only -r": TEST,
    "HGNetv2.pretrained": PRETRAINED,
}


def _meant(given: str) -> str:
    if given in _SPELLINGS:
        return f"Did you mean {_SPELLINGS[given]!r}?"
    return suggest(given, DOORS)


def pass_through(door: str, state: Any, config: ModelConfig) -> Passage:
    """Say what the official code does with the content of a file.

    Args:
        door: one of `DOORS`.
        state: the content as `torch.load` returns it, or a tree of the same form whose tensors are
            anything that has a shape.
        config: of the model.
    """
    printed: list[str] = []
    try:
        return DOORS[door](state, config, printed)
    except OfficialError as error:
        return stopped(door, error, printed)
    except _WRONG_CONTENT as error:
        said = str(error).replace("TensorInfo", "Tensor")
        return stopped(door, OfficialError(type(error).__name__, said), printed)


def stopped(door: str, error: OfficialError, printed: list[str] | None = None) -> Passage:
    """Return what comes of a file that ends the program."""
    finding = Finding(
        FAILURE,
        f"The official code stops at this file: {error.summary}.",
        door,
        "It is not what this door takes.",
        "rtdetr-nb convert writes what -t takes; with --bare, what HGNetv2.pretrained takes.",
    )
    return Passage(tuple(printed or ()), error, outcome=f"stops: {error.summary}", finding=finding)


def _tune(state: Any, config: ModelConfig, printed: list[str]) -> Passage:
    if "ema" in state:
        source, params = "ema.module", state["ema"]["module"]
    else:
        source, params = "model", state["model"]
    match = match_officially(_shapes(config), params)
    printed.append(match.log_line)
    outcome, finding = _judge_tuning(match)
    return Passage(tuple(printed), None, source, match, outcome, finding)


def _judge_tuning(match: OfficialMatch) -> tuple[str, Finding | None]:
    if not match.loaded:
        outcome = "no error: trains from random weights"
        what = "Nothing is loaded: training starts from random weights."
        return outcome, _silent(TUNING, what, FAILURE)
    names = (*match.loaded, *match.missed, *match.unmatched)
    total, loaded = _of_backbone(names), _of_backbone(match.loaded)
    if loaded < total:
        outcome = f"no error: {total - loaded} of the backbone's {total} stay random"
        what = f"Of the backbone's {total} tensors {total - loaded} stay random."
        return outcome, _silent(TUNING, what, WARNING)
    dropped = [
        key for key in match.unused if key.startswith(BACKBONE) and not is_batch_counter(key)
    ]
    if dropped:
        outcome = f"no error: drops {len(dropped)} tensors of the file's backbone"
        what = f"{len(dropped)} tensors of the file's backbone are dropped ({first_of(dropped)})."
        return outcome, _silent(TUNING, what, WARNING)
    heads, filled = _of_heads(names), _of_heads(match.loaded)
    rest = "no heads" if not filled else f"{filled} of {heads} tensors of the heads"
    return "loads the model" if filled == heads else f"loads the backbone, {rest}", None


def _resume_training(state: Any, config: ModelConfig, printed: list[str]) -> Passage:
    resumed = Resumed(printed)
    resume(state, config, False, resumed)
    match = resumed.loaded.get("model")
    if match is None:
        what = 'It prints "Not load model.state_dict" and trains from random weights.'
        action = "Start from the file with -t, or resume from a run's last.pth."
        finding = Finding(FAILURE, what, RESUME, "There is no error.", action)
        nothing = _nothing_loaded(state, config)
        outcome = "no error: trains from random weights"
        return Passage(tuple(printed), None, "", nothing, outcome, finding)
    outcome, finding = _judge_resumed(resumed, config)
    return Passage(tuple(printed), None, "model", match, outcome, finding)


def _judge_resumed(resumed: Resumed, config: Any) -> tuple[str, Finding | None]:
    epochs, done = getattr(config, "epoches", None), resumed.last_epoch
    if isinstance(epochs, int) and isinstance(done, int) and done + 1 >= epochs:
        what = f"{done + 1} of {epochs} epochs are done: it trains no step."
        return "trains no step: its epochs are done", _silent(RESUME, what, WARNING)
    if "Not load ema.state_dict" in resumed.printed:
        what = "The average begins with random weights: the file has no 'ema'."
        return "goes on, with a random average", _silent(RESUME, what, WARNING)
    if "optimizer" not in resumed.parts:
        return "loads the weights; the optimizer starts anew", None
    return "goes on", None


def _resume_evaluation(state: Any, config: ModelConfig, printed: list[str]) -> Passage:
    resumed = Resumed(printed)
    resume(state, config, True, resumed)
    averages = any(line.endswith(" ema.state_dict") for line in printed)
    part, source = ("ema", "ema.module") if averages else ("model", "model")
    match = resumed.loaded.get(part)
    if match is not None:
        return Passage(tuple(printed), None, source, match, f"evaluates {source}", None)
    why = "There is no error."
    if "model" in resumed.loaded:
        why = "There is no error: the model is loaded, and the average, which it lacks, evaluated."
    what = f'It prints "Not load {part}.state_dict" and evaluates random weights.'
    action = "Evaluate with -t FILE --test-only."
    finding = Finding(FAILURE, what, TEST, why, action)
    nothing = _nothing_loaded(state, config)
    outcome = "no error: evaluates random weights"
    return Passage(tuple(printed), None, "", nothing, outcome, finding)


def _load_backbone(state: Any, config: ModelConfig, printed: list[str]) -> Passage:
    shapes = {
        key.removeprefix(BACKBONE): shape
        for key, shape in _shapes(config).items()
        if key.startswith(BACKBONE)
    }
    match = load_strictly(shapes, state, "HGNetv2")
    printed.append(f"Load HGNetv2_{config.backbone.name} state_dict")
    return Passage(tuple(printed), None, "top level", match, "loads the backbone, no heads")


DOORS: Mapping[str, Callable[[Any, ModelConfig, list[str]], Passage]] = {
    TUNING: _tune,
    RESUME: _resume_training,
    TEST: _resume_evaluation,
    PRETRAINED: _load_backbone,
}
"""The doors by name, and the rules of each."""


def tensors_wanted(door: str, config: ModelConfig) -> int:
    """Return how many tensors the door can fill."""
    names = _shapes(config)
    return sum(key.startswith(BACKBONE) or door != PRETRAINED for key in names)


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    return {key: info.shape for key, info in model_keys(config).items()}


def _nothing_loaded(state: Any, config: ModelConfig) -> OfficialMatch:
    unused = tuple(str(key) for key in state) if isinstance(state, Mapping) else ()
    return OfficialMatch((), tuple(_shapes(config)), (), unused)


def _of_backbone(names: Iterable[str]) -> int:
    """The number of weights of the backbone; a batch counter of a norm is not a weight."""
    return sum(name.startswith(BACKBONE) and not is_batch_counter(name) for name in names)


def _of_heads(names: Iterable[str]) -> int:
    return sum(not name.startswith(BACKBONE) for name in names)


def _silent(door: str, what: str, level: str) -> Finding:
    action = "rtdetr-nb convert writes a file that loads." if door == TUNING else ""
    return Finding(level, what, door, "There is no error.", action)
