"""The corpus as a table, for the page on the input format.

Every case is saved and checked as a user would. The page holds what this prints:
`python -m tests.diagnostics.input_format.corpus_table`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtdetr_nb.diagnostics.input_format.input_report import InputReport
from tests.diagnostics.input_format.corpus import (
    BROKEN,
    NORMALISED,
    NOT_FOUND,
    SOUND,
    Case,
    demo_state,
    foreign_state,
)
from tests.diagnostics.input_format.kinds_of_pictures import shapes, write_kinds
from tests.diagnostics.input_format.test_corpus import check

_GROUPS = {
    "Sound": SOUND,
    "Made for other pictures": NORMALISED,
    "Broken": BROKEN,
    "Not found": NOT_FOUND,
}


def rows() -> Iterator[str]:
    """Markdown, group by group."""
    own, foreign = demo_state(), foreign_state(shapes(12, 128))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = write_kinds(folder / "pictures")
        for title, cases in _GROUPS.items():
            yield f"\n**{title}**\n\n{_HEAD}"
            for case in cases:
                yield _row(case, check(case, own, foreign, kinds, folder))


_HEAD = (
    "| backbone | verdict | format found (next one, times as far) | largest divergence, mismatch | "
    "named first, and cause |\n|---|---|---|---|---|"
)


def _row(case: Case, report: InputReport) -> str:
    found = "-"
    if report.judgement is not None:
        name = report.found.name if report.found else "undecided"
        found = f"{name} ({report.judgement.ratio:.1f})"
    telling = [fit for fit in report.fits[1:] if fit.spread >= 0.01]
    divergence = max(fit.divergence for fit in report.fits[1:])
    mismatch = max(fit.mismatch for fit in telling)
    broken = next((fit for fit in report.fits if fit.is_broken), None)
    named = f"`{broken.name}`: {broken.cause}" if broken else "-"
    figures = f"{divergence:.2g}, {mismatch:.2f}"
    return f"| {case.what} | {report.verdict} | {found} | {figures} | {named} |"


if __name__ == "__main__":
    for line in rows():
        print(line, flush=True)
