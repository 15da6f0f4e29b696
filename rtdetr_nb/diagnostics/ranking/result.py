"""A ranking, as data, text and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas

from rtdetr_nb.diagnostics.detection.result import DetectionScore
from rtdetr_nb.diagnostics.ranking.comparison import Outcome
from rtdetr_nb.drawing import draw
from rtdetr_nb.text.findings import Finding, Verdict
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.table import Table


@dataclass(frozen=True)
class RankedFile:
    """One file of a ranking.

    Attributes:
        path: of the file.
        name: as much of the path as tells it from the others.
        epoch: that the file or its name states.
        verdict: on the file, as `convert` judges it, and on its input format; None where it could
            not be opened.
        outcome: what was named rightly, picture by picture; None where nothing was probed.
        effective_rank: how many directions the features of the held-out boxes use.
        group: 1 is the best; those of one group are not told apart. None where nothing was probed.
        detection: of a detector on the frozen features, where that was asked for.
        losses: mean loss of the last steps of each short run, where these were asked for.
        reason: why it was not probed, as a sentence; empty where it was.
        notes: what else to know of it.
    """

    path: Path
    name: str
    epoch: int | None = None
    verdict: Verdict | None = None
    outcome: Outcome | None = field(default=None, repr=False)
    effective_rank: float | None = None
    group: int | None = None
    detection: DetectionScore | None = field(default=None, repr=False)
    losses: tuple[float, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float | None:
        """Share of the held-out boxes that are named rightly."""
        return None if self.outcome is None else self.outcome.accuracy

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the accuracy if other pictures were drawn."""
        return None if self.outcome is None else self.outcome.interval


@dataclass(frozen=True, repr=False)
class Ranking:
    """Several files, the best first, in groups that these pictures do not tell apart.

    Attributes:
        files: those that were probed, the best first, then those that could not be.
        conclusion: what the pictures allow to say, in one or two sentences.
        random: the same for random weights.
        chances: for each pair of probed files how often their difference would be chance, corrected
            for the number of comparisons.
        boxes: held-out boxes that every file names.
        pictures: that these lie in.
        findings: what else to know, the worst first.
        fine_tuned: what the short runs allow to say; empty without any.
        decided: name of the file that the short runs speak for; empty if they decide nothing.
        notes: what was left out.
        seconds: that it took.
    """

    files: tuple[RankedFile, ...]
    conclusion: str
    random: Outcome
    chances: dict[tuple[str, str], float]
    boxes: int
    pictures: int
    findings: tuple[Finding, ...] = ()
    fine_tuned: str = ""
    decided: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ranked(self) -> tuple[RankedFile, ...]:
        """The files that were probed."""
        return tuple(file for file in self.files if file.outcome is not None)

    @property
    def best(self) -> Path | None:
        """The file that the short runs decide on, or else the first of the first group.

        Look at `conclusion` and `fine_tuned` for how much that says.
        """
        chosen = [file for file in self.ranked if file.name == self.decided] or self.ranked
        return chosen[0].path if chosen else None

    @cached_property
    def verdict(self) -> Verdict:
        """ "ok", "warnings" or "failed", with the findings that led to it."""
        return Verdict(self.findings)

    @property
    def table(self) -> pandas.DataFrame:
        """One row a file, the best first; `low` and `high` are 95 % of the accuracy."""
        table = pandas.DataFrame([_row(file) for file in self.files])
        table = table.astype({"epoch": "Int64", "group": "Int64"})
        asked = {"ap": "detection", "ap_low": "detection", "ap_high": "detection", "loss": "losses"}
        unused = [c for c, a in asked.items() if not any(getattr(f, a) for f in self.files)]
        return table.drop(columns=unused)

    def figure(self) -> Any:
        """Accuracies with their intervals; over the epochs where all are known (matplotlib)."""
        return draw("ranking", self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {
            "best": None if self.best is None else str(self.best),
            "conclusion": self.conclusion,
            "fine_tuned": self.fine_tuned,
            "files": [
                {**row, "path": str(f.path)} for row, f in zip(rows, self.files, strict=True)
            ],
            "random": self.random.accuracy,
            "boxes": self.boxes,
            "pictures": self.pictures,
            "verdict": str(self.verdict),
            "findings": [vars(finding) for finding in self.verdict.findings],
            "notes": list(self.notes),
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        best = "none" if self.best is None else self.best.name
        groups = [sum(f.group == g for f in self.ranked) for g in self._groups]
        return f"Ranking({len(self.files)} files, best={best}, sizes of groups={groups})"

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [self.conclusion, *([self.fine_tuned] if self.fine_tuned else []),
                 self.short_table().text(), *self.notes]  # fmt: skip
        findings = [f"{finding.level}: {finding}" for finding in self.verdict.findings]
        return "\n".join([*lines, *findings])

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{shown(text)}</p>" for text in (self.fine_tuned, *self.notes) if text)
        findings = self.verdict._repr_html_() if self.findings else ""
        return f"<p><b>{shown(self.conclusion)}</b></p>{self.short_table().html()}{said}{findings}"

    def short_table(self) -> Table:
        """One row a file, as a person reads it."""
        has_epoch = any(file.epoch is not None for file in self.files)
        has_ap = any(file.detection for file in self.files)
        has_loss = any(file.losses for file in self.files)
        columns = ["group", "file", *(["epoch"] if has_epoch else []), "named rightly", "95 %"]
        columns += [*(["AP"] if has_ap else []), *(["loss of short runs"] if has_loss else [])]
        columns += ["effective rank", "verdict", "notes"]
        rows = []
        for file in self.files:
            cells = _cells(file)
            rows.append(tuple(cells[column] for column in columns))
        numeric = {"group", "epoch", "named rightly", "95 %", "AP", "effective rank"}
        random = f"random weights: {self.random.accuracy:.1%}"
        return Table("", tuple(columns), tuple(rows), frozenset(numeric & set(columns)), random)

    @property
    def _groups(self) -> Sequence[int]:
        return sorted({file.group for file in self.ranked if file.group is not None})


def _row(file: RankedFile) -> dict[str, Any]:
    low, high = file.interval or (None, None)
    score = file.detection
    return {
        "file": file.name,
        "epoch": file.epoch,
        "accuracy": file.accuracy,
        "low": low,
        "high": high,
        "group": file.group,
        "ap": score and score.ap,
        "ap_low": score and score.interval[0],
        "ap_high": score and score.interval[1],
        "loss": sum(file.losses) / len(file.losses) if file.losses else None,
        "effective_rank": file.effective_rank,
        "verdict": "failed" if file.verdict is None else str(file.verdict),
        "notes": "; ".join([*([file.reason] if file.reason else []), *file.notes]),
    }


def _cells(file: RankedFile) -> dict[str, str]:
    row = _row(file)
    interval, losses = "-", "-"
    if file.interval is not None:
        interval = "{:.0%} to {:.0%}".format(*file.interval)
    if file.losses:
        losses = f"{row['loss']:.2f} ({min(file.losses):.2f} to {max(file.losses):.2f})"
    return {
        "group": _or_dash(file.group),
        "file": file.name,
        "epoch": _or_dash(file.epoch),
        "named rightly": "-" if file.accuracy is None else f"{file.accuracy:.1%}",
        "95 %": interval,
        "AP": "-" if file.detection is None else f"{file.detection.ap:.3f}",
        "loss of short runs": losses,
        "effective rank": "-" if file.effective_rank is None else f"{file.effective_rank:.1f}",
        "verdict": row["verdict"],
        "notes": row["notes"],
    }


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
