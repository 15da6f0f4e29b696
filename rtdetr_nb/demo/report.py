"""A report as one HTML file that opens offline, in a light or dark theme."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

from rtdetr_nb.files.atomic_file import write_atomically


@dataclass(frozen=True)
class ReportTable:
    """Rows of strings and numbers under column names."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Section:
    """A numbered part of a report; what is given is shown, in this order.

    Attributes:
        texts: paragraphs.
        verdict: ok, warnings or failed.
        figure: a picture as a data URI.
        findings: sentences in a list.
        details: a long table, folded behind `details_title`.
        commands: lines to copy.
    """

    title: str
    texts: Sequence[str] = ()
    verdict: str = ""
    table: ReportTable | None = None
    figure: str = ""
    findings: Sequence[str] = ()
    details: ReportTable | None = None
    details_title: str = "all rows"
    commands: Sequence[str] = ()


def write_page(
    path: Path, title: str, subtitle: str, conclusion: str, sections: Sequence[Section]
) -> None:
    """Write a report; `conclusion` stands at the top. All text is escaped."""
    environment = Environment(loader=PackageLoader("rtdetr_nb", "demo"), autoescape=True)
    page = environment.get_template("report.html").render(
        title=title, subtitle=subtitle, conclusion=conclusion, sections=sections
    )
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))
