"""What a conversion did: taken, judged, written, proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.official_loader.rules import OfficialMatch
from rtdetr_nb.checkpoint.tuning.report import WriteReport
from rtdetr_nb.text.findings import Finding, Verdict, findings_html
from rtdetr_nb.text.html_pieces import answer_box, shown
from rtdetr_nb.text.plain_text import show_as_text

if TYPE_CHECKING:
    from rtdetr_nb.diagnostics.input_format.input_report import InputReport


@dataclass(frozen=True)
class LoadProof:
    """What loading the written file into a fresh model did, by the official rules.

    Attributes:
        match: what becomes of each tensor of the model.
        equal: for each selected tensor, whether the model holds it bit for bit.
        strict: it was loaded by `HGNetv2.pretrained`, into the backbone alone.
    """

    match: OfficialMatch = field(repr=False)
    equal: Mapping[str, bool] = field(repr=False)
    strict: bool = False

    @property
    def bit_equal(self) -> bool:
        """Whether the model holds every selected tensor bit for bit."""
        return all(self.equal.values())

    def __str__(self) -> str:
        equal = "bit-equal" if self.bit_equal else "NOT EQUAL"
        how = (
            "loaded strictly into a fresh backbone" if self.strict else "loaded into a fresh model"
        )
        return f"{how}: {len(self.equal)} tensors {equal}"


@dataclass(frozen=True)
class Conversion:
    """A tuning file that was written: what was taken, judged and proved.

    Attributes:
        selection: the tensors that were taken from the source.
        filled: the comparison of the tuning file with the model; None if its names are not the
            official ones, or if too little was selected to recognise a backbone.
        verdict: the verdict on what was written.
        report: what was written and read back.
        proof: what a fresh model loads from it; None if its names are not the official ones.
        input: which pictures the backbone expects, as it was written; None if no pictures were
            given.
    """

    selection: Selection = field(repr=False)
    filled: Diff | None = field(repr=False)
    verdict: Verdict
    report: WriteReport
    proof: LoadProof | None
    input: InputReport | None = field(default=None, repr=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth knowing, the worst first."""
        return self.verdict.findings

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}. Written {self.report}", *self._told()]
        found = [f"  {finding.level}: {finding}" for finding in self.verdict.findings]
        return "\n".join([*lines, *found])

    def _repr_html_(self) -> str:
        then = map(shown, self._told())
        box = answer_box(
            str(self.verdict), "Written", f"{self.report}. {self.verdict.counts}", then
        )
        return box + findings_html(self.verdict.findings)

    def _told(self) -> list[str]:
        """What else to say of the file: a caution, the proof, what the pictures say."""
        told = (self.report.caution, self.proof, self.input)
        return [str(each) for each in told if each]
