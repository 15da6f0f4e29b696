"""From the records of a run that learnt a few pictures by heart to a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

import torch

from rtdetr_nb.boxes import iou_and_giou
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.diagnostics.overfit.chosen import ChosenPicture
from rtdetr_nb.diagnostics.overfit.findings import OVERFIT_CHECKS
from rtdetr_nb.diagnostics.overfit.outcome import Outcome
from rtdetr_nb.diagnostics.overfit.report import LearntPicture, Look, OverfitReport
from rtdetr_nb.diagnostics.overfit.setting import Lesson
from rtdetr_nb.runs.history import without_abandoned
from rtdetr_nb.runs.records import PredictedPicture, Record, StepRecord, events, is_step
from rtdetr_nb.runs.run import Run

_SAME_IOU = 0.5


def judge_overfit(
    run: Run,
    lesson: Lesson,
    chosen: Sequence[ChosenPicture],
    split: Split,
    config: Config,
    is_tuned: bool,
) -> OverfitReport:
    """Judge a run that is over.

    Args:
        run: to judge.
        lesson: what it was to learn.
        chosen: its pictures.
        split: those pictures alone, in the same order.
        config: of the run.
        is_tuned: whether it started from a tuning file.
    """
    records = list(without_abandoned(run.records))
    steps = [record for record in records if is_step(record)]
    looks = tuple(_looks(records, steps))
    predictions = (events(records, "predictions") or [None])[-1]
    rows = tuple(map(compare_boxes, predictions["pictures"])) if predictions else ()
    outcome = Outcome(
        status=run.status,
        error=run.error,
        lesson=lesson,
        looks=looks,
        steps=tuple(steps),
        rows=rows,
        chosen=tuple(chosen),
        split=split,
        config=config,
        is_tuned=is_tuned,
    )
    return OverfitReport(
        folder=str(run.folder),
        learnt=outcome.is_learnt,
        target=lesson.target,
        looks=looks,
        pictures=len(chosen),
        boxes=sum(picture.boxes for picture in chosen),
        table_rows=rows,
        findings=tuple(finding for check in OVERFIT_CHECKS for finding in check(outcome)),
        predictions=predictions,
        seconds=round(sum(step.get("seconds", 0.0) for step in steps), 1),
    )


def _looks(records: Sequence[Record], steps: Sequence[StepRecord]) -> Iterator[Look]:
    before = 0
    for record in events(records, "evaluation"):
        losses = [step["loss"] for step in steps if before < step["step"] <= record["step"]]
        before = record["step"]
        ap, ap50 = (record["statistics"][name] or 0.0 for name in ("AP", "AP50"))
        yield Look(before, ap, ap50, mean(losses) if losses else float("nan"))


def compare_boxes(picture: PredictedPicture) -> LearntPicture:
    """Count the true boxes of a picture that its best detections know.

    A detection stands for one box at most; the surest ones choose first.
    """
    count = len(picture["true_boxes"])
    true = torch.tensor(picture["true_boxes"], dtype=torch.float32).reshape(-1, 4)
    found = torch.tensor(picture["boxes"][:count], dtype=torch.float32).reshape(-1, 4)
    iou, _ = iou_and_giou(found[:, None], true[None])  # (detections, true boxes)
    same = torch.tensor(
        [[own == name for name in picture["true_labels"]] for own in picture["labels"][:count]],
        dtype=torch.bool,
    ).reshape(len(found), count)
    known, used = _pair(iou.where(same, torch.zeros(())))
    others = iou.clone()
    others[list(used)], others[:, list(known)] = 0.0, 0.0
    other_name, _ = _pair(others)
    return LearntPicture(
        file=picture["file"].rpartition("/")[2],
        boxes=count,
        known=len(known),
        other_name=len(other_name),
        missed=count - len(known) - len(other_name),
    )


def _pair(iou: torch.Tensor) -> tuple[set[int], set[int]]:
    """True boxes that have a detection, and these detections, the surest detection first."""
    known: set[int] = set()
    used: set[int] = set()
    for detection, row in enumerate(iou.tolist()):
        free = [(value, box) for box, value in enumerate(row) if box not in known]
        best, box = max(free, default=(0.0, -1))
        if best >= _SAME_IOU:
            known.add(box)
            used.add(detection)
    return known, used
