"""What is known of the pictures that a backbone expects, as data, text and HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas

from rtdetr_nb.checkpoint.tuning.input_format import InputFormat
from rtdetr_nb.diagnostics.input_format.first_norm import FormatJudgement, times_as_far
from rtdetr_nb.diagnostics.input_format.norm_fit import NormFit
from rtdetr_nb.diagnostics.input_format.stated_format import Statement
from rtdetr_nb.drawing import draw
from rtdetr_nb.text.findings import Finding, Verdict
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.table import Table

_SHOWN = 6  # hypotheses of the short table


@dataclass(frozen=True)
class BothProbed:
    """The probe with the backbone as it is, and mended.

    `as_it_is` and `mended` are shares of the `boxes` held-out boxes that were named rightly.
    """

    as_it_is: float
    mended: float
    boxes: int

    @property
    def is_decisive(self) -> bool:
        """Whether the two differ by more than two standard errors."""
        shares = (self.as_it_is, self.mended)
        error = (sum(share * (1 - share) for share in shares) / max(self.boxes, 1)) ** 0.5
        return abs(self.mended - self.as_it_is) > 2 * error

    def __str__(self) -> str:
        return (
            f"as it is {self.as_it_is:.0%} of {self.boxes:,} held-out boxes, mended "
            f"{self.mended:.0%}"
        )


@dataclass(frozen=True)
class InputReport:
    """The input format of a backbone, and whether its layers belong together.

    Attributes:
        source: name of the file.
        found: the format that the backbone expects; None where that is not known.
        findings: what is worth knowing, the worst first.
        statements: formats that the file states, the outermost first.
        judgement: what the first norm says of the pictures; None where it says nothing.
        fits: every norm from the stem to the last stage; empty where there are none.
        pictures: how many of the user's pictures were looked at.
        probed: the probe as it is and mended, where it was asked for.
        seconds: that it took.
        to_mend: the format to fold into the stem, which the findings speak of; None where nothing
            is to be mended.
        is_certain: whether statement and statistics, or the probe, speak for it.
    """

    source: str
    found: InputFormat | None
    findings: tuple[Finding, ...] = field(repr=False)
    statements: tuple[Statement, ...] = field(default=(), repr=False)
    judgement: FormatJudgement | None = field(default=None, repr=False)
    fits: tuple[NormFit, ...] = field(default=(), repr=False)
    pictures: int = 0
    probed: BothProbed | None = None
    seconds: float = 0.0
    to_mend: InputFormat | None = None
    is_certain: bool = False

    @cached_property
    def verdict(self) -> Verdict:
        """ "ok", "warnings" or "failed", with the findings that led to it."""
        return Verdict(self.findings)

    @property
    def table(self) -> pandas.DataFrame:
        """One row a hypothesis, the nearest first.

        `divergence` is the median over the first norm's channels on the pictures as they are,
        `usual_light` with their brightness and contrast set to those of usual photographs, and
        `times` the smaller of the two over that of the nearest hypothesis.
        """
        ranked = self.judgement.hypotheses if self.judgement else ()
        nearest = ranked[0].distance if ranked else 1.0
        rows = [
            {
                "format": h.format.name,
                "order": h.format.order,
                "what": str(h.format),
                "divergence": h.divergence,
                "usual_light": h.usual_light,
                "times": times_as_far(h.distance, nearest),
            }
            for h in ranked
        ]
        columns = ["format", "order", "what", "divergence", "usual_light", "times"]
        return pandas.DataFrame(rows, columns=columns)

    @property
    def layers(self) -> pandas.DataFrame:
        """One row a norm, from the stem to the last stage."""
        rows = [
            {
                "layer": fit.name,
                "part": fit.part,
                "channels": fit.channels,
                "divergence": fit.divergence,
                "on_pictures": fit.on_pictures,
                "mismatch": fit.mismatch,
                "fits": not fit.is_broken,
                "cause": fit.cause,
            }
            for fit in self.fits
        ]
        columns = ["layer", "part", "channels", "divergence", "on_pictures", "mismatch"]
        return pandas.DataFrame(rows, columns=[*columns, "fits", "cause"])

    def figure(self) -> Any:
        """The hypotheses, and every norm from the stem to the last stage (matplotlib)."""
        return draw("input_report", self)

    @property
    def sentence(self) -> str:
        """What is found, in one sentence."""
        looked = counted(self.pictures, "picture")
        if self.found is None:
            return f"Which pictures {self.source} expects is not known ({looked} looked at)."
        plain = ", which is what RT-DETRv2 feeds" if self.found.is_plain else ""
        told = ""
        if self.judgement:
            times = self.judgement.ratio
            told = f"; the next hypothesis lies {min(times, 1000):.1f} times as far"
        broken = sum(fit.is_broken for fit in self.fits)
        layers = f" {broken} of {len(self.fits)} norms do not fit their layers." if broken else ""
        return f"{self.source} expects {self.found}{plain} ({looked}{told}).{layers}"

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        shown = Table(
            "",
            ("hypothesis", "divergence", "at usual light", "times the nearest"),
            tuple(
                (
                    str(row.what),
                    f"{row.divergence:.3g}",
                    f"{row.usual_light:.3g}",
                    f"{row.times:.3g}",
                )
                for row in self.table.head(_SHOWN).itertuples()
            ),
            frozenset({"divergence", "at usual light", "times the nearest"}),
        )
        head = Table("", (self.sentence,), ()).html()
        return head + self.verdict._repr_html_() + (shown.html() if self.judgement else "")
