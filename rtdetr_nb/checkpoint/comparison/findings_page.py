"""Writes docs/findings.md, the page of all findings: `python -m` this module prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtdetr_nb.checkpoint.comparison.config_findings import CONFIG_CHECKS
from rtdetr_nb.checkpoint.comparison.coverage_findings import COVERAGE_CHECKS
from rtdetr_nb.checkpoint.comparison.file_findings import FILE_CHECKS
from rtdetr_nb.checkpoint.comparison.value_findings import VALUE_CHECKS
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check

SECTIONS: tuple[tuple[str, Sequence[Check[Any]]], ...] = (
    ("The file and its architecture", FILE_CHECKS),
    ("What of the model is filled", COVERAGE_CHECKS),
    ("The configuration", CONFIG_CHECKS),
    ("The values", VALUE_CHECKS),
)
"""Every check of a comparison, by what it looks at."""

_EFFECTS = {
    FAILURE: "The verdict is `failed`: `convert` writes nothing without `--force`.",
    WARNING: "The verdict is `warnings`, unless there is a failure: the run may be spoilt.",
    NOTE: "The verdict stays as it is: this is normal, and good to know.",
}
_HEAD = """# Findings

`rtdetr-nb diff`, `rtdetr-nb convert` and `diff.verdict` say what they find, and judge by the worst
of it. Each finding below is one function in `rtdetr_nb/checkpoint/comparison/`, with the same name.
`make findings` writes this page from these functions.

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
