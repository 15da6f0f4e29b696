"""From statements, statistics and probe to findings on the input format.

What is not certain is not said as if it were: a norm can remember pictures of the weights that a
distillation began with, and a trained detector has adapted to what its frozen stem remembers. Only
the statement of the file together with the statistics, or the probe, make a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtdetr_nb.checkpoint.tuning.input_format import FORMATS, InputFormat
from rtdetr_nb.diagnostics.input_format.first_norm import FormatJudgement, in_other_order
from rtdetr_nb.diagnostics.input_format.for_verdicts import NO_PICTURES, WHERE
from rtdetr_nb.diagnostics.input_format.input_report import BothProbed
from rtdetr_nb.diagnostics.input_format.stated_format import Statement
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding

_PLAIN = FORMATS["zero_one"]
_FROZEN = "The stem and the norms are frozen by the configuration: nothing will adapt."
_TRAINED = "Training may adapt to it, at the price of what was distilled."


@dataclass(frozen=True)
class Evidence:
    """All that is known of one backbone's input format.

    Attributes:
        statements: of the file.
        judgement: of the first norm; None without pictures, or where the norm says nothing.
        silent: why the norm says nothing, as a sentence; empty where it does.
        is_detector: a trained encoder and decoder lie around the backbone.
        is_frozen: the configuration freezes stem and norms.
        probed: the probe as it is and mended.
    """

    statements: Sequence[Statement]
    judgement: FormatJudgement | None
    silent: str = ""
    is_detector: bool = False
    is_frozen: bool = True
    probed: BothProbed | None = None

    @property
    def suspect(self) -> InputFormat | None:
        """A format other than that of RT-DETRv2 that statistics or else the file speak for."""
        if self.judgement is None:
            return next((s.format for s in self.statements if not s.format.is_plain), None)
        if self.judgement.allows(_PLAIN):
            return None
        return self._in_stated_order(self.judgement.hypotheses[0].format)

    @property
    def is_certain(self) -> bool:
        """Whether more than one of statement, statistics and probe speak for the suspect."""
        suspect = self.suspect
        if suspect is None or self.judgement is None:
            return False
        stated = any(s.format.same_as(suspect) for s in self.statements)
        return stated or (self.probed is not None and self.probed.is_decisive)

    @property
    def to_mend(self) -> InputFormat | None:
        """The format to fold into the stem; None where that would not help, or would spoil it."""
        return None if self.is_detector or _probed_well(self) else self.suspect

    @property
    def to_probe(self) -> InputFormat | None:
        """What the backbone would be mended for, if the probe is to decide."""
        stated = next((s.format for s in self.statements if not s.format.is_plain), None)
        return self.suspect or stated

    @property
    def found(self) -> InputFormat | None:
        """The format, if it is known."""
        if self.probed is not None and self.probed.is_decisive:
            return self.to_probe if self.probed.mended > self.probed.as_it_is else _PLAIN
        if self.judgement is not None:
            found = self.judgement.found
            return None if found is None else self._in_stated_order(found)
        return self.statements[0].format if len(self.statements) == 1 else None

    def _in_stated_order(self, nearest: InputFormat) -> InputFormat:
        """The same, in the order that the file states, or RGB, where the norm does not tell."""
        assert self.judgement is not None
        if self.judgement.order_is_decided:
            return nearest
        turned = in_other_order(nearest)
        stated = (s.format for s in self.statements)
        default = nearest if nearest.order == "RGB" else turned
        return next((f for f in stated if f.same_as(nearest) or f.same_as(turned)), default)


def format_findings(evidence: Evidence) -> list[Finding]:
    """Judge the evidence."""
    if evidence.judgement is None:
        return _without_statistics(evidence)
    found = [*_contradictions(evidence), *_suspicion(evidence)]
    return [*found, *_what_is_open(evidence)]


def _without_statistics(evidence: Evidence) -> list[Finding]:
    silent = [Finding(NOTE, evidence.silent or NO_PICTURES, WHERE)]
    stated = [s for s in evidence.statements if not s.format.is_plain]
    if not stated:
        return silent
    return [
        Finding(
            NOTE if evidence.is_detector else WARNING,
            f"The file states pictures that RT-DETRv2 does not feed: {stated[0].format}.",
            stated[0].where,
            _FROZEN if evidence.is_frozen else _TRAINED,
            _mending(stated[0].format),
        ),
        *silent,
    ]


def _suspicion(evidence: Evidence) -> list[Finding]:
    """The norm remembers other pictures than RT-DETRv2 feeds."""
    suspect, judgement, probed = evidence.suspect, evidence.judgement, evidence.probed
    assert judgement is not None
    if suspect is None or _probed_well(evidence):
        return []
    times = judgement.times(_PLAIN)
    what = (
        f"The norms remember other pictures than RT-DETRv2 feeds: {suspect}. Values 0 to 1 lie "
        f"{min(times, 1e6):,.0f} times as far from what they hold."
    )
    if evidence.is_detector:
        return [
            Finding(
                NOTE, what, WHERE,
                "Encoder and decoder lie in the file too, so everything behind the frozen stem has "
                "been trained with it as it is.",
                "Leave it as it is.",
            )
        ]  # fmt: skip
    certain = evidence.is_certain
    why = _FROZEN if evidence.is_frozen else _TRAINED
    if probed is not None:
        why = f"Probed {probed}. {why}"
    elif not certain:
        why += (
            " A distillation that began with weights of such pictures and frozen norms, and went "
            "on with values 0 to 1, looks the same."
        )
    action = _mending(suspect)
    if not certain:
        action += " Where there are labels, check_input(..., probe=True) decides."
    level = FAILURE if certain and evidence.is_frozen else WARNING
    return [Finding(level, what, WHERE, why, action)]


def _probed_well(evidence: Evidence) -> bool:
    probed = evidence.probed
    return probed is not None and probed.is_decisive and probed.as_it_is > probed.mended


def _contradictions(evidence: Evidence) -> list[Finding]:
    """The file states one thing, and its first norm another."""
    judgement = evidence.judgement
    assert judgement is not None
    if not evidence.statements or any(judgement.allows(s.format) for s in evidence.statements):
        return []
    stated = evidence.statements[0]
    return [
        Finding(
            NOTE if evidence.is_detector else WARNING,
            f"The file states {stated.format}, but its first norm remembers "
            f"{judgement.hypotheses[0].format}.",
            stated.where,
            f"What is stated lies {min(judgement.times(stated.format), 1e6):,.0f} times as far.",
            "Ask how it was trained, or let the probe decide: check_input(..., probe=True).",
        )
    ]


def _what_is_open(evidence: Evidence) -> list[Finding]:
    judgement, probed = evidence.judgement, evidence.probed
    assert judgement is not None
    notes = []
    if not judgement.is_decided:
        listed = "; ".join(str(f) for f in judgement.plausible if f.order == "RGB")
        notes.append(
            Finding(
                NOTE,
                f"These pictures do not tell between: {listed}.",
                WHERE,
                action="Give more of them, or pictures of another kind.",
            )  # fmt: skip
        )
    elif not judgement.order_is_decided and not evidence.statements:
        notes.append(
            Finding(
                NOTE,
                "RGB and BGR are not told apart by the first norm.",
                WHERE,
                "Both orders have nearly the same statistics on these pictures.",
            )  # fmt: skip
        )
    if probed is not None and _probed_well(evidence):
        notes.append(
            Finding(
                NOTE,
                "The norms remember other pictures, but the backbone knows these better "
                "as they are.",
                WHERE,
                f"Probed {probed}.",
                "Leave it as it is.",
            )  # fmt: skip
        )
    return notes


def _mending(suspect: InputFormat) -> str:
    name = f'"{suspect.name}"' if suspect.name in FORMATS else "this format"
    return f"Fold it into the stem: write_tuning_file(..., input_format={name})."
