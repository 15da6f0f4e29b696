"""Predicts what the official code does with a file that comes through one of its doors."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from os import PathLike, fspath

from rtdetr_nb.architecture.state_dict_table import ModelConfig
from rtdetr_nb.checkpoint.official_loader.doors import (
    TUNING,
    Passage,
    find_door,
    pass_through,
    stopped,
)
from rtdetr_nb.checkpoint.official_loader.known_commit import OFFICIAL_COMMIT
from rtdetr_nb.checkpoint.official_loader.listed import unpickling_error
from rtdetr_nb.checkpoint.official_loader.rules import OfficialError, OfficialMatch
from rtdetr_nb.text.findings import Finding, Verdict
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import Table

# All exceptions of torch.load on files that users have.
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
    """What the official code does with a file that comes through one of its doors.

    Attributes:
        exception: name of the exception that would end the program, or None.
        message: its message.
        source: the state dict that is taken ("model" or "ema.module"); "" for none.
        match: what happens to each tensor of the model that trains or, with --test-only, is
            evaluated; None after an exception.
        door: "-t", "-r", "-r --test-only" or "pretrained".
        printed: the lines about weights that the official code prints.
        outcome: the result in a few words.
        findings: what is wrong with it.
        commit: the version of the official code that is known here.
    """

    exception: str | None
    message: str = field(default="", repr=False)
    source: str = ""
    match: OfficialMatch | None = field(default=None, repr=False)
    door: str = TUNING
    printed: tuple[str, ...] = field(default=(), repr=False)
    outcome: str = ""
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    commit: str = OFFICIAL_COMMIT

    @property
    def verdict(self) -> Verdict:
        """Whether the file is what this door takes."""
        return Verdict(self.findings)

    @property
    def loaded(self) -> int:
        """Number of tensors of the model that come from the file."""
        return 0 if self.match is None else len(self.match.loaded)

    @property
    def log_line(self) -> str | None:
        """What is printed about weights unless there is an exception; None after one."""
        return None if self.match is None else "\n".join(self.printed)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        stop = [] if self.exception is None else [f"{self.exception}: {self.message}"]
        last = [] if self.door == TUNING else [f"{self.door}: {self.outcome}"]
        return "\n".join([*self.printed, *stop, *last])

    def _repr_html_(self) -> str:
        return prediction_html(self)


def prediction_html(prediction: OfficialPrediction) -> str:
    """Return a prediction as HTML: its figures, then the lines that the official code prints."""
    match, door = prediction.match, prediction.door
    printed = _printed_html(prediction)
    if match is None:
        first = printable(f"{prediction.exception}: {prediction.message}".splitlines()[0])
        stops = f"The official <code>{shown(door)}</code> stops: <code>{shown(first)}</code>"
        return f"<p>{stops}</p>{printed}"
    counts = (("loaded", match.loaded), ("missed", match.missed), ("unmatched", match.unmatched))
    rows = tuple((word, str(len(keys)), first_of(keys, 2)) for word, keys in counts)
    silent = ("unused (not in the official log)", str(len(match.unused)), first_of(match.unused, 2))
    columns = (f"official {door}", "tensors", "first names")
    table = Table("", columns, (*rows, silent), frozenset({"tensors"})).html()
    found = "".join(f"<p>{badge(f.level)} {shown(str(f))}</p>" for f in prediction.findings)
    return f"{table}{found}{printed}"


def _printed_html(prediction: OfficialPrediction) -> str:
    if not prediction.printed:
        return ""
    many = len(prediction.printed) > 1
    lines = "<br>".join(shown(line) for line in prediction.printed)
    box = f"<div style='max-height:12em;overflow:auto'><code>{lines}</code></div>"
    title = "the lines that it prints" if many else "the line that it prints"
    return f"<details><summary>{title}</summary>{box}</details>"


def predict_official(
    path: str | PathLike[str], config: ModelConfig, door: str = TUNING
) -> OfficialPrediction:
    """Predict what the official code does with a file, its exceptions included.

    There are two predictors. This one is exact: `torch.load(weights_only=True)` reads the file, as
    in the official code with torch 2.6 and newer, so the answer holds for the torch that is
    installed here. Nothing in the file is executed, but all of it is read into memory. Tables and
    commands, which must not load torch or the values, use `every_door.doors_of` on the listed file
    instead; a test holds the two together.

    Args:
        path: any file.
        config: the configuration of the model.
        door: "-t" (tuning), "-r" (resume), "-r --test-only" (evaluate) or "pretrained"
            (`HGNetv2.pretrained=FILE`). Weights that a door does not load are random, or those
            that `HGNetv2.pretrained=True` downloads.

    Raises:
        UserError: there is no such door.
    """
    door = find_door(door)
    try:
        state = read_officially(path)
    except OfficialError as error:
        return as_prediction(door, stopped(door, error))
    return as_prediction(door, pass_through(door, state, config))


def as_prediction(door: str, passage: Passage) -> OfficialPrediction:
    """Return what the official code does as a report."""
    error = passage.error
    return OfficialPrediction(
        None if error is None else error.kind,
        "" if error is None else error.message,
        passage.source,
        passage.match,
        door,
        passage.printed,
        passage.outcome,
        () if passage.finding is None else (passage.finding,),
    )


def read_officially(path: str | PathLike[str]) -> object:
    """Return the content of a file as the official code gets it.

    Raises:
        OfficialError: `torch.load` fails.
    """
    import torch

    try:
        return torch.load(fspath(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise unpickling_error(str(error)) from error
    except _READING_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error).partition(". ")[0]
        summary = f"{type(error).__name__}: {reason}".rstrip(": ")
        raise OfficialError(type(error).__name__, str(error), summary) from error
