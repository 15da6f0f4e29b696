"""Pictures asked before a tuning file is written: which format to fold into the stem, and why.

Folding is only right where the backbone was trained on other pictures than RT-DETRv2 feeds. Names
and shapes do not say so, and the norms alone may mislead; see docs/input_format.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat, named_format
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.input_format.for_verdicts import input_findings
from rtdetr_nb.errors import CheckpointError, DatasetError, TuningError
from rtdetr_nb.text.findings import NOTE, WARNING, Finding

if TYPE_CHECKING:
    from rtdetr_nb.diagnostics.input_format.input_report import InputReport
    from rtdetr_nb.diagnostics.measuring.pictures import Pictures
    from rtdetr_nb.diagnostics.measuring.weights import Weights

AUTO = "auto"
_STEM = "stem.stem1"


@dataclass(frozen=True)
class InputLook:
    """What the pictures say.

    Attributes:
        input_format: to fold into the stem; None leaves the stem as it is.
        findings: on the backbone as it will be written.
        report: of that backbone; None where no pictures were given.
    """

    input_format: InputFormat | None
    findings: tuple[Finding, ...]
    report: InputReport | None = None


def check_wanted(wanted: InputFormat | str | None, data: Pictures | None) -> None:
    """Refuse a wish that cannot be fulfilled before anything is read.

    Raises:
        TuningError: there is no input format of that name, or it is "auto" without pictures.
    """
    if wanted == AUTO:
        if data is None:
            raise TuningError(
                'The input format "auto" is found with pictures, and none are given. Give some '
                "(data=..., or --data DIR on the command line), or name the format."
            )
    elif wanted is not None:
        named_format(wanted)


def look_at_input(
    selection: Selection,
    config: Config,
    data: Pictures | None,
    wanted: InputFormat | str | None = None,
    *,
    force: bool = False,
) -> InputLook:
    """Ask the pictures about the backbone as it will be written.

    Args:
        selection: what will be written.
        config: of the training to come: it says what is frozen.
        data: pictures of it, or None.
        wanted: the format to fold in, its name, or "auto".
        force: with "auto", fold in what only the norms speak for too.

    Raises:
        DatasetError: there are no pictures in `data`.
        TuningError: see `check_wanted`, or the format cannot be folded in.
    """
    check_wanted(wanted, data)
    if wanted == AUTO:
        return _automatic(selection, config, data, force)
    folded = None if wanted is None else named_format(wanted)
    report, findings = findings_on_pictures(selection, data, config, folded)
    return InputLook(folded, tuple(findings), report)


def findings_on_pictures(
    source: Weights,
    data: Pictures | None,
    config: Config,
    input_format: InputFormat | None = None,
) -> tuple[InputReport | None, list[Finding]]:
    """What a verdict on a file should hold of its input format, and the report that it is from.

    A file that the question cannot be put to gets a note, for other findings say what it is.

    Raises:
        DatasetError: there are no pictures in `data`.
    """
    notes = []
    if input_format is not None and not input_format.is_plain:
        notes.append(Finding(NOTE, f"The stem is rewritten: it expected {input_format}.", _STEM))
    if data is None:
        return None, [*notes, *input_findings(None)]
    from rtdetr_nb.diagnostics.input_format.check_input import check_input

    try:
        report = check_input(source, data, config=config, input_format=input_format)
    except CheckpointError as error:
        return None, [Finding(NOTE, f"The input format was not looked at. {error}", _STEM)]
    return report, [*notes, *input_findings(report)]


def _automatic(
    selection: Selection, config: Config, data: Pictures | None, force: bool
) -> InputLook:
    """Find the format; fold it in where statement and norms, or the probe, speak for it."""
    report, findings = findings_on_pictures(selection, data, config)
    if report is None:
        return InputLook(None, tuple(findings))
    if report.to_mend is not None and not report.is_certain:
        report = _probed(selection, data, config) or report
        findings = list(report.findings)
    found = report.to_mend
    if found is None:
        note = f"Nothing is folded into the stem: {report.sentence}"
        return InputLook(None, (Finding(NOTE, note, _STEM), *findings), report)
    if not (report.is_certain or force):
        unsure = Finding(
            WARNING,
            f"{found} is not folded into the stem, as only the norms speak for it.",
            _STEM,
            action=f"Give a data set with boxes, which decides, or name it: {found.name}.",
        )
        return InputLook(None, (unsure, *findings), report)
    why = f"Probed {report.probed}." if report.probed else report.findings[0].what
    reason = Finding(NOTE, f"Found by the pictures: {found}.", _STEM, why)
    mended, after = findings_on_pictures(selection, data, config, found)
    return InputLook(found, (reason, *after), mended)


def _probed(selection: Selection, data: Pictures | None, config: Config) -> InputReport | None:
    """The report with the probe of the boxes in `data`; None where there are none."""
    from rtdetr_nb.datasets.open_data import open_data
    from rtdetr_nb.diagnostics.input_format.check_input import check_input

    try:
        source = open_data(data)  # pyright: ignore[reportArgumentType]
        return check_input(selection, source, config=config, probe=True)
    except DatasetError:  # pictures without enough boxes are enough for the norms
        return None
