"""How far two backbones are apart, as data, text and HTML."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rtdetr_nb.drawing import draw
from rtdetr_nb.text.findings import Finding, Verdict, findings_html
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

_COLUMNS = ("identical", "distance", "cosine", "norm of a", "norm of b", "statistics")


@dataclass(frozen=True)
class Distance:
    """A layer, a part or the whole of backbone b as seen from backbone a.

    Attributes:
        name: of the layer or part.
        part: "stem", or "stages.0" to "stages.3".
        tensors: that were compared.
        identical: of those, how many have no bit changed.
        squares: of the weights the sums of a*a, b*b, (b-a)*(b-a) and a*b.
        statistics: the same of the norms' means and variances; None without any.
    """

    name: str
    part: str
    tensors: int
    identical: int
    squares: tuple[float, float, float, float] = field(repr=False)
    statistics: tuple[float, float, float, float] | None = field(repr=False)

    @property
    def distance(self) -> float:
        """Norm of b - a over the norm of a; infinite if a is zero and b is not."""
        return _ratio(self.squares)

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two as vectors; NaN if one of them is zero."""
        below = math.sqrt(self.squares[0] * self.squares[1])
        return self.squares[3] / below if below else math.nan

    @property
    def norms(self) -> tuple[float, float]:
        """Both norms."""
        return math.sqrt(self.squares[0]), math.sqrt(self.squares[1])

    @property
    def statistics_distance(self) -> float:
        """As `distance`, of the norms' means and variances; NaN without any."""
        return math.nan if self.statistics is None else _ratio(self.statistics)

    def is_finite(self, place: int) -> bool:
        """Whether all values of a (0) or of b (1) are numbers."""
        sums = [self.squares[place], *([] if self.statistics is None else [self.statistics[place]])]
        return all(map(math.isfinite, sums))


@dataclass(frozen=True)
class ValuesReport:
    """Two backbones against each other; see `compare_values`.

    Attributes:
        a, b: what the two are called.
        whole: of the whole backbone.
        part_distances: of stem and stages.
        layer_distances: of each layer, from the stem to the last stage.
        findings: what is worth knowing.
    """

    a: str
    b: str
    whole: Distance
    part_distances: tuple[Distance, ...] = field(repr=False)
    layer_distances: tuple[Distance, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)

    @cached_property
    def verdict(self) -> Verdict:
        """ "failed" where values are no numbers, "warnings" where tensors are not compared."""
        return Verdict(self.findings)

    @property
    def table(self) -> pandas.DataFrame:
        """One row a layer: `part`, `tensors`, `identical`, `distance`, `cosine`, `norm_a`,
        `norm_b`, and `statistics`, the distance of the norms' means and variances.
        """
        return _frame(self.layer_distances)

    @property
    def parts(self) -> pandas.DataFrame:
        """The same for stem, stages and the whole backbone."""
        return _frame((*self.part_distances, self.whole))

    @property
    def sentence(self) -> str:
        """How far they are apart, and which part the most."""
        if self.whole.identical == self.whole.tensors:
            return f"{self.b} has the same values as {self.a}, bit for bit."
        told = f"{self.b} lies {_percent(self.whole.distance)} from {self.a} (cosine "
        told += f"{self.whole.cosine:.4f})"
        most = max(self.part_distances, key=lambda part: part.distance)
        least = min(self.part_distances, key=lambda part: part.distance)
        return (
            f"{told}: least in {least.name} ({_percent(least.distance)}), most in {most.name} "
            f"({_percent(most.distance)})."
        )

    def figure(self) -> Any:
        """Distance and cosine of each layer, from the stem to the last stage (matplotlib)."""
        return draw("values_report", self)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        found = [f"  {finding.level}: {finding}" for finding in self.verdict.findings]
        return "\n".join([self.sentence, self._parts_table().text(), *found])

    def _repr_html_(self) -> str:
        head = f"<p>{badge(str(self.verdict))} {shown(self.sentence)}</p>"
        return head + self._parts_table().html() + findings_html(self.verdict.findings)

    def _parts_table(self) -> Table:
        rows = tuple(
            (
                part.name,
                f"{part.identical} of {part.tensors}",
                _percent(part.distance),
                f"{part.cosine:.4f}",
                *(f"{norm:.3g}" for norm in part.norms),
                _percent(part.statistics_distance),
            )
            for part in (*self.part_distances, self.whole)
        )
        return Table("", ("part", *_COLUMNS), rows, frozenset(_COLUMNS))


def _ratio(squares: tuple[float, float, float, float]) -> float:
    if squares[2] == 0.0:
        return 0.0
    return math.sqrt(squares[2] / squares[0]) if squares[0] else math.inf


def _percent(share: float) -> str:
    if math.isnan(share):
        return "-"
    return "0" if share == 0.0 else f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"


def _frame(distances: tuple[Distance, ...]) -> pandas.DataFrame:
    import pandas

    rows = [
        {
            "name": each.name,
            "part": each.part if each.name != "backbone" else "backbone",
            "tensors": each.tensors,
            "identical": each.identical,
            "distance": each.distance,
            "cosine": each.cosine,
            "norm_a": each.norms[0],
            "norm_b": each.norms[1],
            "statistics": each.statistics_distance,
        }
        for each in distances
    ]
    return pandas.DataFrame(rows).set_index("name")
