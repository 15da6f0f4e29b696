"""What a verdict on a file holds of its input format; loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtdetr_nb.text.findings import NOTE, Finding

if TYPE_CHECKING:
    from rtdetr_nb.diagnostics.input_format.input_report import InputReport

WHERE = "stem.stem1.bn"
NO_PICTURES = "No pictures given, so nothing is known of the input format."


def input_findings(report: InputReport | None) -> list[Finding]:
    """What a verdict on a file should hold of its input format; None where nothing was checked."""
    if report is None:
        return [Finding(NOTE, NO_PICTURES, WHERE, action="Give some (data=..., or --data DIR).")]
    return list(report.findings)
