"""Judges what a tuning file will hold, and refuses to write what is judged "failed"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.checkpoint.comparison.judge import judge
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
        failures = "".join(f"\n  {finding}" for finding in verdict.failures)
        super().__init__(
            f"{output} was not written:{failures}\n  ({way_out} writes what can be written.)"
        )
        self.verdict = verdict
        self.output = output


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
    filled = _compare_content(content, path)
    selection = content.selection
    verdict = judge(selection.diff, selection.rows, values=content.selected, filled=filled)
    return Judgement(filled, verdict)


def _compare_content(content: TuningContent, path: Path) -> Diff | None:
    """Compare a tuning file with the model before it is written, as it will be listed."""
    if content.prefix != BACKBONE:
        return None
    listed = {
        f"model.{name}": TensorInfo(
            f"model.{name}", tuple(value.shape), str(value.dtype).removeprefix("torch.")
        )
        for name, value in content.tensors.items()
    }
    tree = {"model": {name: listed[f"model.{name}"] for name in content.tensors}}
    tuning = Checkpoint(path, "torch zip", listed, MappingProxyType({}), tree, ())
    try:
        return compare(tuning, content.selection.diff.config)
    except CheckpointError:  # too little was selected to recognise a backbone
        return None
