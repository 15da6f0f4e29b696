"""One table of what the official code does with a file, by each of its doors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike

from rtdetr_nb.architecture.state_dict_table import ModelConfig
from rtdetr_nb.checkpoint.official_loader.doors import (
    DOORS,
    pass_through,
    stopped,
    tensors_wanted,
)
from rtdetr_nb.checkpoint.official_loader.known_commit import OFFICIAL_COMMIT
from rtdetr_nb.checkpoint.official_loader.listed import ListedFile, listed_content
from rtdetr_nb.checkpoint.official_loader.prediction import (
    OfficialPrediction,
    as_prediction,
    read_officially,
)
from rtdetr_nb.checkpoint.official_loader.rules import OfficialError
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding, Verdict
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.table import Table


@dataclass(frozen=True)
class EveryDoor:
    """What each door of the official code does with a file.

    Attributes:
        predictions: the prediction by the name of the door.
        wanted: how many tensors each door can fill.
        commit: the version of the official code that is known here.
    """

    predictions: Mapping[str, OfficialPrediction] = field(repr=False)
    wanted: Mapping[str, int] = field(repr=False)
    commit: str = OFFICIAL_COMMIT

    def __getitem__(self, door: str) -> OfficialPrediction:
        return self.predictions[door]

    @property
    def open(self) -> tuple[str, ...]:
        """The doors that the file fits."""
        return tuple(door for door, each in self.predictions.items() if each.verdict == "ok")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to know: no door takes the file; a door takes nothing of it, without an error."""
        found = [_softened(f, each) for each in self.predictions.values() for f in each.findings]
        if not self.open:
            what = "No door of the official code takes this file as it is."
            action = "rtdetr-nb convert writes what -t takes."
            found.insert(0, Finding(FAILURE, what, action=action))
        return tuple(found)

    @property
    def verdict(self) -> Verdict:
        """Whether a door takes the file, and no other loads nothing without an error."""
        return Verdict(self.findings)

    @property
    def table(self) -> Table:
        """A row a door: the tensors that it loads, and what happens."""
        rows = tuple(
            (door, f"{each.loaded} of {self.wanted[door]}", each.outcome)
            for door, each in self.predictions.items()
        )
        title = f"as it is, through each door of the official code (commit {self.commit}):"
        return Table(title, ("door", "loaded", "what happens"), rows, frozenset({"loaded"}))

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def predict_doors(path: str | PathLike[str], config: ModelConfig) -> EveryDoor:
    """Predict what the official code does with a file by each of its doors.

    As exact as `predict_official`: the file is read once, by `torch.load`, and nothing in it runs.

    Args:
        path: any file.
        config: the configuration of the model.
    """
    return _through_all(lambda: read_officially(path), config)


def doors_of(file: ListedFile, config: ModelConfig) -> EveryDoor:
    """Say the same of a listed file, without torch and without its values.

    Args:
        file: an opened `Checkpoint`.
        config: the configuration of the model.
    """
    return _through_all(lambda: listed_content(file), config)


def _through_all(read: Callable[[], object], config: ModelConfig) -> EveryDoor:
    try:
        state = read()
    except OfficialError as error:
        passages = {door: stopped(door, error) for door in DOORS}
    else:
        passages = {door: pass_through(door, state, config) for door in DOORS}
    return EveryDoor(
        {door: as_prediction(door, passage) for door, passage in passages.items()},
        {door: tensors_wanted(door, config) for door in DOORS},
    )


def _softened(finding: Finding, prediction: OfficialPrediction) -> Finding:
    """A door that stops needs no file to fit it; one that loads nothing in silence is a trap."""
    level = NOTE if prediction.exception else WARNING
    return replace(finding, level=level)
