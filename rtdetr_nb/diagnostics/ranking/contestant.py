"""One file of a ranking: opened, judged, and made into a backbone that can be probed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rtdetr_nb.architecture.key_info import is_batch_counter
from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import choose_candidate, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat, fold_into_stem
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.input_format.check_input import check_input
from rtdetr_nb.diagnostics.input_format.input_findings import Evidence
from rtdetr_nb.diagnostics.input_format.input_report import InputReport
from rtdetr_nb.diagnostics.measuring.kept_results import digest
from rtdetr_nb.diagnostics.ranking.epoch import epoch_of
from rtdetr_nb.errors import TuningError
from rtdetr_nb.model.build import build_backbone
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding, Verdict

_INPUT_SIDE = 192  # pixels: enough for the statistics of the norms, at half the time


@dataclass(frozen=True)
class Contestant:
    """A backbone of one file.

    Attributes:
        path: of the file.
        selection: what is taken from it.
        epoch: that the file or its name states.
        tensors: values by official names without `backbone.`, mended where `mended` says so.
        verdict: on the file, as `convert` judges it, and on its input format.
        digest: of the values as they are in the file.
        suspect: another input format that the file or its norms speak for, but not surely.
        mended: the input format that was folded into the stem.
    """

    path: Path
    selection: Selection = field(repr=False)
    epoch: int | None
    tensors: dict[str, Tensor] = field(repr=False)
    verdict: Verdict
    digest: str
    suspect: InputFormat | None = None
    mended: InputFormat | None = None

    def with_stem_for(self, wanted: InputFormat, why: str) -> Contestant:
        """The same with its stem rewritten; what the verdict says of the format is replaced."""
        told = Finding(
            WARNING,
            f"It expects {wanted}: the stem was rewritten for this ranking ({why}).",
            action=f'Write it the same way: convert(..., input_format="{wanted.name}").',
        )
        rest = [f for f in self.verdict.findings if not _is_of_format(f)]
        return replace(
            self,
            tensors=fold_into_stem(self.tensors, wanted),
            verdict=Verdict([*rest, told]),
            mended=wanted,
        )

    def backbone(self, config: Config) -> nn.Module:
        """The configured backbone with these values; what the file lacks is random, seed 0."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            backbone = build_backbone(config.override(["HGNetv2.pretrained=False"]))
        backbone.load_state_dict(self.tensors, strict=False)
        return backbone


def open_contestant(path: Path, config: Config, pictures: Tensor) -> Contestant:
    """Open and judge one file, and look at its input format.

    Args:
        path: of the file.
        config: the model.
        pictures: (N, 3, H, W) of values 0 to 1.

    Raises:
        UserError: it cannot be read, or its verdict is "failed".
    """
    checkpoint = open_checkpoint(path)
    diff = compare(choose_candidate(checkpoint, None, config.backbone.name), config)
    selection = diff.select(f"{BACKBONE}*")
    values = selection.read()
    verdict = judge(diff, selection.rows, values=values)
    if verdict.failures:
        raise TuningError(str(verdict.failures[0]))
    tensors = {name.removeprefix(BACKBONE): value for name, value in values.items()}
    report = check_input(selection, pictures, config=config, image_size=_INPUT_SIDE)
    contestant = Contestant(
        path=path,
        selection=selection,
        epoch=epoch_of(checkpoint),
        tensors=tensors,
        verdict=Verdict([*verdict.findings, *report.findings]),
        digest=digest(_named(tensors)),
        suspect=_suspect(report),
    )
    if _is_sure(report) and contestant.suspect is not None:
        why = "the file states it and its norms agree"
        return replace(contestant.with_stem_for(contestant.suspect, why), suspect=None)
    return contestant


def _named(tensors: dict[str, Tensor]) -> list[str | np.ndarray]:
    parts: list[str | np.ndarray] = []
    for name, value in sorted(tensors.items()):
        # Counts of batches change nothing of what a backbone computes.
        if not is_batch_counter(name):
            parts += [name, value.numpy()]
    return parts


def _suspect(report: InputReport) -> InputFormat | None:
    if not any(_is_of_format(f) and f.level != NOTE for f in report.findings):
        return None
    return Evidence(report.statements, report.judgement).suspect


def _is_sure(report: InputReport) -> bool:
    return any(_is_of_format(f) and f.level == FAILURE for f in report.findings)


def _is_of_format(finding: Finding) -> bool:
    """Whether it says that the stem should be rewritten."""
    return "input_format=" in finding.action
