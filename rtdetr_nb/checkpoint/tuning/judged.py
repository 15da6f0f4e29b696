"""Judges what a tuning file will hold, and refuses to write what is judged "failed"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.reading.tensor_info import TensorInfo
from rtdetr_nb.errors import CheckpointError, TuningError
from rtdetr_nb.text.findings import Finding, Verdict

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.tuning.write import TuningContent


class ConversionRefusedError(TuningError):
    """The verdict on what would be written is "failed"; nothing was written.

    Attributes:
        verdict: the verdict, with all its findings.
        output: the file that was not written.
    """

    def __init__(self, output: Path, verdict: Verdict, way_out: str) -> None:
        self.verdict = verdict
        self.output = output
        super().__init__(self.told(way_out))

    def told(self, way_out: str) -> str:
        """The reasons, and what writes the file all the same."""
        failures = "".join(f"\n  {finding}" for finding in self.verdict.failures)
        return (
            f"{self.output} was not written:{failures}\n  ({way_out} writes what can be written.)"
        )


@dataclass(frozen=True)
class Judgement:
    """What will be written, compared with the model and judged.

    Attributes:
        filled: the comparison of the tuning file with the model; None if its names are not the
            official ones, or if too little was selected to recognise a backbone.
        verdict: the verdict on it.
    """

    filled: Diff | None
    verdict: Verdict

    def and_also(self, findings: Iterable[Finding]) -> Judgement:
        """The same with more findings."""
        return Judgement(self.filled, Verdict([*self.verdict.findings, *findings]))


def judge_content(content: TuningContent, path: Path) -> Judgement:
    """Judge the content of a tuning file before it is written to `path`."""
    selection, filled = content.selection, None
    if content.prefix == BACKBONE:
        kinds = {
            name: (tuple(value.shape), str(value.dtype).removeprefix("torch."))
            for name, value in content.tensors.items()
        }
        filled = _compare_written(kinds, selection, path, "" if content.bare else "model.")
    verdict = judge(selection.diff, selection.rows, values=content.selected, filled=filled)
    return Judgement(filled, verdict)


def judge_selection(selection: Selection) -> Judgement:
    """Judge the tuning file of a selection without a base, as `judge_content` would.

    Values are read as arrays, so that this loads no torch and can follow a click.
    """
    kinds = {row.model_key or "": (row.model_shape or (), "float32") for row in selection.rows}
    filled = _compare_written(kinds, selection, Path("tuning.pth"))
    return Judgement(filled, judge(selection.diff, selection.rows, filled=filled))


def _compare_written(
    kinds: Mapping[str, tuple[tuple[int, ...], str]],
    selection: Selection,
    path: Path,
    top: str = "model.",
) -> Diff | None:
    """Compare a tuning file with the model before it is written, as it will be listed.

    Args:
        kinds: shape and type of each tensor by its name in the file.
        selection: where they come from.
        path: of the file.
        top: what stands before the names in it.
    """
    listed = {name: TensorInfo(top + name, *kind) for name, kind in kinds.items()}
    tensors = {info.key: info for info in listed.values()}
    tree = {"model": listed} if top else listed
    tuning = Checkpoint(path, "torch zip", tensors, MappingProxyType({}), tree, ())
    try:
        return compare(tuning, selection.diff.config)
    except CheckpointError:  # too little was selected to recognise a backbone
        return None
