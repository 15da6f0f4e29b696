"""Writes docs/findings.md, the page of all findings: `python -m` this module prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtdetr_nb.checkpoint.comparison.config_findings import CONFIG_CHECKS
from rtdetr_nb.checkpoint.comparison.coverage_findings import COVERAGE_CHECKS
from rtdetr_nb.checkpoint.comparison.file_findings import FILE_CHECKS
from rtdetr_nb.checkpoint.comparison.reading_findings import READING_CHECKS
from rtdetr_nb.checkpoint.comparison.value_findings import VALUE_CHECKS
from rtdetr_nb.config.size_findings import SIZE_CHECKS
from rtdetr_nb.datasets.batches.shown_batch import BATCH_CHECKS
from rtdetr_nb.datasets.checks.findings import DATA_CHECKS
from rtdetr_nb.diagnostics.overfit.findings import OVERFIT_CHECKS
from rtdetr_nb.diagnostics.preflight.configuration import TRAINING_CHECKS
from rtdetr_nb.diagnostics.preflight.rehearsal_figures import REHEARSAL_CHECKS
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check

SECTIONS: tuple[tuple[str, Sequence[Check[Any]]], ...] = (
    ("The file and its architecture", FILE_CHECKS),
    ("What of the model is filled", COVERAGE_CHECKS),
    ("The configuration", CONFIG_CHECKS),
    ("The values", (*READING_CHECKS, *VALUE_CHECKS)),
    ("Sizes of pictures", SIZE_CHECKS),
    ("The data", DATA_CHECKS),
    ("A batch", BATCH_CHECKS),
    ("A training before its first step", TRAINING_CHECKS),
    ("The rehearsal of a training", REHEARSAL_CHECKS),
    ("Pictures by heart", OVERFIT_CHECKS),
)
"""Every check, by what it looks at."""

_EFFECTS = {
    FAILURE: "The verdict is `failed`: `convert` writes nothing without `--force`.",
    WARNING: "The verdict is `warnings`, unless there is a failure: the run may be spoilt.",
    NOTE: "The verdict stays as it is: this is normal, and good to know.",
}
_HEAD = """# Findings

`rtdetr-nb diff`, `rtdetr-nb convert` and `diff.verdict` say what they find, and judge by the worst
of it; so do `rtdetr-nb check`, `rt.check_data`, `rt.show_batch`, `rtdetr-nb preflight`,
`rt.overfit` and every run, before its first step. Each finding below is one function with the same
name. `make findings` writes this page from these functions. What opening a data set mends and tells
stands in [data.md](data.md).

| level | what it does to the verdict |
|---|---|
"""


def findings_page() -> str:
    """Return the page as Markdown."""
    effects = "".join(f"| {level} | {effect} |\n" for level, effect in _EFFECTS.items())
    return _HEAD + effects + "".join(_section(*section) for section in SECTIONS)


def _section(title: str, checks: Sequence[Check[Any]]) -> str:
    rows = "".join(
        # A bar would end the cell.
        "| {} | {} | {} |\n".format(each.name, each.level, each.meaning.replace("|", r"\|"))
        for each in checks
    )
    return f"\n## {title}\n\n| finding | level | what it means |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    print(findings_page(), end="")
