"""Is this checkpoint, under this configuration, a good start? All findings, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.comparison.config_findings import config_findings
from rtdetr_nb.checkpoint.comparison.coverage_findings import COVERAGE_CHECKS, CoverageCase
from rtdetr_nb.checkpoint.comparison.file_findings import FILE_CHECKS
from rtdetr_nb.checkpoint.comparison.reading_findings import READING_CHECKS
from rtdetr_nb.checkpoint.comparison.row import Row
from rtdetr_nb.checkpoint.comparison.value_findings import value_findings
from rtdetr_nb.text.findings import Verdict

if TYPE_CHECKING:
    import torch

    from rtdetr_nb.checkpoint.comparison.diff import Diff


def judge(
    diff: Diff,
    rows: Iterable[Row] | None = None,
    *,
    values: Mapping[str, torch.Tensor] | None = None,
    filled: Diff | None = None,
    total_steps: int | None = None,
) -> Verdict:
    """Collect every finding on a comparison; docs/findings.md lists them.

    Args:
        diff: the comparison.
        rows: what will be loaded; everything that fits if None. Only their values are looked at.
        values: the values of these rows by model name, if they are in memory; else they are read.
        filled: the comparison of the tuning file that is made, if it is what fills the model, from
            `diff` alone or with a base.
        total_steps: optimizer steps of the run, if known: short runs have special traps.
    """
    filled = diff if filled is None else filled
    rows = None if rows is None else list(rows)
    coverage = CoverageCase(diff, filled, rows or None)
    return Verdict(
        [
            *(finding for each in FILE_CHECKS for finding in each(diff)),
            *(finding for each in READING_CHECKS for finding in each(diff)),
            *(finding for each in COVERAGE_CHECKS for finding in each(coverage)),
            *config_findings(filled.config, filled, total_steps=total_steps),
            *value_findings(diff, rows, values),
        ]
    )
