"""Predicts what the official `-t` prints for a file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

from rtdetr_nb.architecture.state_dict_table import ModelConfig, model_keys
from rtdetr_nb.checkpoint.official_loader.rules import (
    OfficialError,
    OfficialMatch,
    match_officially,
)
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import Table

# All exceptions of torch.load and of the official lookups on files that users have.
_READING_ERRORS = (
    pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


@dataclass(frozen=True)
class OfficialPrediction:
    """The outcome of the official loader.

    Attributes:
        exception: name of the exception that would end the training, or None.
        message: its message.
        source: the state dict that is taken ("model" or "ema.module"); "" after an exception.
        match: what happens to each tensor; None after an exception.
    """

    exception: str | None
    message: str = ""
    source: str = ""
    match: OfficialMatch | None = None

    @property
    def log_line(self) -> str | None:
        """The line that is printed unless there is an exception; None after one."""
        return None if self.match is None else self.match.log_line

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        if self.match is not None:
            return self.match.log_line
        return f"{self.exception}: {self.message}"

    def _repr_html_(self) -> str:
        return prediction_html(self)


def prediction_html(prediction: OfficialPrediction) -> str:
    """Return a prediction as HTML: its figures, then the line that the official code prints."""
    match = prediction.match
    if match is None:
        first = printable(str(prediction).splitlines()[0])
        return f"<p>The official <code>-t</code> stops: <code>{shown(first)}</code></p>"
    counts = (("loaded", match.loaded), ("missed", match.missed), ("unmatched", match.unmatched))
    rows = tuple((word, str(len(keys)), first_of(keys, 2)) for word, keys in counts)
    silent = ("unused (not in the official log)", str(len(match.unused)), first_of(match.unused, 2))
    columns = ("official -t", "tensors", "first names")
    table = Table("", columns, (*rows, silent), frozenset({"tensors"})).html()
    line = f"<div style='max-height:12em;overflow:auto'><code>{shown(match.log_line)}</code></div>"
    printed = f"<details><summary>the line that it prints</summary>{line}</details>"
    return f"{table}{printed}"


def predict_official(path: str | PathLike[str], config: ModelConfig) -> OfficialPrediction:
    """Predict what the official loader does with a file, its exceptions included.

    There are two predictors. This one is exact: `torch.load(weights_only=True)` reads the file, as
    in the official code with torch 2.6 and newer, so the answer holds for the torch that is
    installed here. Nothing in the file is executed, but all of it is read into memory. Tables and
    commands, which must not load torch or the values, use `rules.official_state_dict` on the listed
    file instead; a test holds the two together.

    Args:
        path: any file.
        config: the configuration of the model to be tuned.
    """
    import torch

    try:
        state = torch.load(fspath(path), map_location="cpu", weights_only=True)
        source, params = _state_dict_of(state)
        shapes = {key: info.shape for key, info in model_keys(config).items()}
        match = match_officially(shapes, params)
    except OfficialError as error:
        return OfficialPrediction(error.kind, error.message)
    except _READING_ERRORS as error:
        return OfficialPrediction(type(error).__name__, str(error))
    return OfficialPrediction(None, source=source, match=match)


def _state_dict_of(state: Any) -> tuple[str, Mapping[Any, Any]]:
    """Look up what the official code looks up, with the same operators on the same objects."""
    if "ema" in state:
        return "ema.module", state["ema"]["module"]
    return "model", state["model"]
