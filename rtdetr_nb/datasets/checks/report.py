"""What a check of a data set has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rtdetr_nb.datasets.annotations.notes import DataNote
from rtdetr_nb.datasets.checks.box_counts import BoxCounts, ClassCount
from rtdetr_nb.datasets.checks.decoding import BrokenPicture
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.drawing import draw
from rtdetr_nb.text.findings import Verdict, findings_html
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

_MOST_CLASSES = 20  # rows of the printed table


@dataclass(frozen=True)
class DataReport:
    """A data set in figures, and what is wrong with it.

    Attributes:
        source: the data set that was looked at.
        pictures: which pictures were decoded: "none", "sample" or "all".
        decoded: how many they were.
        findings: what was found, the worst first.
        classes: by split and label, the usable boxes.
        odd: by split, the boxes that deserve a look.
        broken: every picture that cannot be decoded.
    """

    source: DataSource
    pictures: str
    decoded: int
    findings: tuple[DataNote, ...]
    classes: dict[str, dict[int, ClassCount]] = field(repr=False)
    odd: dict[str, BoxCounts] = field(repr=False)
    broken: tuple[BrokenPicture, ...] = field(repr=False)

    @property
    def verdict(self) -> Verdict:
        """ "failed" if no run can use the data, "warnings" if a run may be spoilt, else "ok"."""
        return Verdict(each.finding for each in self.findings)

    @property
    def names(self) -> dict[int, str]:
        """Name of every label, in their order."""
        return dict(sorted({**self.source.val.classes, **self.source.train.classes}.items()))

    @property
    def table(self) -> pandas.DataFrame:
        """A row a class: its pictures and boxes in both splits, and the sizes of its boxes.

        `small`, `medium` and `large` are shares of the boxes of train by COCO's limits of area
        (32 and 96 pixels squared); `median_side` is in pixels.
        """
        import pandas

        return pandas.DataFrame(
            [self._class_row(label, name) for label, name in self.names.items()]
        )

    @property
    def splits(self) -> pandas.DataFrame:
        """A row a split: pictures, boxes, and what deserves a look."""
        import pandas

        return pandas.DataFrame(self._split_rows())

    def figure(self) -> Any:
        """Boxes by class, their sizes, places and shapes (a `matplotlib.figure.Figure`)."""
        return draw("data_report", self)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "layout": self.source.layout,
            "verdict": str(self.verdict),
            "decoded": self.decoded,
            "findings": [asdict(finding) for finding in self.findings],
            "classes": self._class_rows(),
            "splits": self._split_rows(),
            "broken": [{"path": str(b.path), "reason": b.reason} for b in self.broken],
        }

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        train, val = self.source.train, self.source.val
        levels = [finding.level for finding in self.findings]
        counts = [counted(levels.count(level), level) for level in ("failure", "warning", "note")]
        answer = "Do not train on it yet" if self.verdict == "failed" else "A run can use it"
        return (
            f"{answer}: {self.source.layout}, {counted(len(train), 'picture')} to train on and "
            f"{len(val):,} to evaluate on, {train.num_boxes + val.num_boxes:,} boxes of "
            f"{counted(len(self.names), 'class', 'classes')}. {', '.join(counts)}. "
            f"{self._decoded_sentence()}"
        )

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.sentence}"]
        lines += [f"  {finding.level}: {finding}" for finding in self.verdict.findings]
        return "\n".join([*lines, *(table.text() for table in self.tables())])

    def _repr_html_(self) -> str:
        tables = "".join(table.html() for table in self.tables())
        found = findings_html(self.verdict.findings)
        return f"<p>{badge(str(self.verdict))} {shown(self.sentence)}</p>{found}{tables}"

    def tables(self) -> list[Table]:
        """The splits and the classes as they are printed; of many classes, the fullest."""
        splits = self._split_rows()
        rows = self._class_rows()
        rows.sort(key=lambda row: -row["boxes_train"])
        more = f"and {len(rows) - _MOST_CLASSES} more classes; the whole is `.table`"
        return [
            _table("", splits),
            _table("", rows[:_MOST_CLASSES], footer=more if len(rows) > _MOST_CLASSES else ""),
        ]

    def _decoded_sentence(self) -> str:
        total = len(self.source.train) + len(self.source.val)
        if self.decoded == 0:
            return "No picture was decoded."
        if self.decoded >= total:
            return "Every picture was decoded."
        return f"{self.decoded:,} of {total:,} pictures were decoded; --all decodes every one."

    def _class_rows(self) -> list[dict[str, Any]]:
        return [self._class_row(label, name) for label, name in self.names.items()]

    def _class_row(self, label: int, name: str) -> dict[str, Any]:
        train, val = (self.classes[split].get(label) for split in ("train", "val"))
        sizes = train if train is not None and train.boxes else val
        return {
            "label": label,
            "name": name,
            "pictures_train": train.pictures if train else 0,
            "boxes_train": train.boxes if train else 0,
            "pictures_val": val.pictures if val else 0,
            "boxes_val": val.boxes if val else 0,
            "small": sizes.small if sizes else 0.0,
            "medium": sizes.medium if sizes else 0.0,
            "large": sizes.large if sizes else 0.0,
            "median_side": sizes.median_side if sizes else float("nan"),
        }

    def _split_rows(self) -> list[dict[str, Any]]:
        rows = []
        for split in (self.source.train, self.source.val):
            paths = {split.image_path(i) for i in range(len(split))} if self.broken else set()
            rows.append(
                {
                    "split": split.name,
                    "pictures": len(split),
                    "missing": len(split.missing),
                    "broken": sum(each.path in paths for each in self.broken),
                    "boxes": split.num_boxes,
                    **asdict(self.odd[split.name]),
                }
            )
        return rows


def _table(title: str, rows: list[dict[str, Any]], footer: str = "") -> Table:
    columns = tuple(rows[0]) if rows else ()
    cells = tuple(tuple(_cell(column, row[column]) for column in columns) for row in rows)
    shown_columns = tuple(column.replace("_", " ") for column in columns)
    numeric = frozenset(column for column in shown_columns if column not in ("split", "name"))
    return Table(title, shown_columns, cells, numeric, footer)


def _cell(column: str, value: Any) -> str:
    if column in ("small", "medium", "large"):
        return f"{value:.0%}"
    if isinstance(value, float):
        return "-" if value != value else f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
