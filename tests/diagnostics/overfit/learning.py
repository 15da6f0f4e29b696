"""Learns pictures by heart within this process, with a thin network."""

from pathlib import Path
from typing import Any

import pytest

from rtdetr_nb.architecture import hgnetv2_variants as architecture
from rtdetr_nb.cli.recording import train_and_record
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.diagnostics.overfit.judge import judge_overfit
from rtdetr_nb.diagnostics.overfit.outcome import Outcome
from rtdetr_nb.diagnostics.overfit.overfit import OverfitPlan, plan_overfit
from rtdetr_nb.diagnostics.overfit.report import OverfitReport
from rtdetr_nb.diagnostics.overfit.setting import Lesson
from rtdetr_nb.errors import UserError
from rtdetr_nb.runs.folder import RunFolder
from rtdetr_nb.runs.run import Run
from rtdetr_nb.training.assembly import TrainingOptions
from tests.thin_network import SETTINGS, THIN


def thin_config(data: Path, *overrides: str) -> Config:
    """The configuration of a training with the thin network."""
    return quick_run_config(data).override([*SETTINGS, *overrides])


def learn(config: Config, folder: Path, lesson: Lesson) -> OverfitReport:
    """What `overfit` does, without a process for the run."""
    plan = plan_overfit(config, None, lesson, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architecture.HGNETV2_VARIANTS, "L", THIN)
        owned = RunFolder(folder)
        owned.claim(resumed=False, config=plan.config.to_yaml())
        options = TrainingOptions(folder, max_steps=lesson.steps)
        try:
            train_and_record(plan.config, options, owned)
        except UserError as error:
            owned.fail(str(error), type(error).__name__)
    return judge_overfit(Run(folder), lesson, plan.chosen, plan.split, plan.config, False)


def outcome_of(plan: OverfitPlan, **facts: Any) -> Outcome:
    """What a finished run of a plan has recorded, by default nothing."""
    given = {
        "status": "finished",
        "error": "",
        "lesson": Lesson(pictures=2),
        "looks": (),
        "steps": (),
        "rows": (),
        "is_tuned": True,
    }
    chosen, config = tuple(plan.chosen), plan.config
    return Outcome(chosen=chosen, split=plan.split, config=config, **{**given, **facts})
