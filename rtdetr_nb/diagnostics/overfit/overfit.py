"""Can it learn at all: a few pictures by heart, as a run like any other.

A training that cannot learn four pictures by heart will not learn a hundred thousand; one that can
has data, labels, losses and an optimizer that work together. It says nothing of how well what is
learnt carries over, and wrong boxes can be learnt by heart too, if they are always the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.configured import configured_split
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.datasets.written import write_split
from rtdetr_nb.diagnostics.overfit.chosen import ChosenPicture, choose_pictures_to_learn
from rtdetr_nb.diagnostics.overfit.judge import judge_overfit
from rtdetr_nb.diagnostics.overfit.report import OverfitReport
from rtdetr_nb.diagnostics.overfit.setting import STEPS_A_LOOK, Lesson, overfit_config
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.runs.find_or_start import ensure_run
from rtdetr_nb.runs.run import Run

PathLike = str | os.PathLike[str]
_PICTURES_FOLDER = "learnt_by_heart"


def overfit(
    config: Config,
    tuning: PathLike | None = None,
    data: DataSource | PathLike | None = None,
    pictures: int = 4,
    *,
    image_size: int = 160,
    steps: int = 200,
    target: float = 0.9,
    output_dir: PathLike = "runs/overfit",
) -> OverfitReport:
    """Learn a few pictures by heart, and say whether that worked or what to look at.

    Waits for the run of `start_overfit`; the same line finds it again after an interrupt.

    Args:
        config: of the training. Model, freezing, losses, optimizer and precision are used as they
            are; augmentation and averaging are switched off, the warm-up is shortened and all
            learning rates are multiplied by one number, so that the largest is 4e-4.
        tuning: tuning file to start from; None starts from random weights.
        data: a data set of any layout, or its folder; None takes that of the configuration.
        pictures: how many are learnt: pictures of `train` with a few boxes that are not small.
        image_size: height and width that they are resized to, a multiple of 32.
        steps: optimizer updates at most, a multiple of 20. It ends as soon as they are known.
        target: the AP on these pictures at which they are known.
        output_dir: folder of the run.

    Raises:
        DatasetError: no picture can be learnt.
        UserError: a number, the data or the tuning file cannot be used, or a run lives in the
            folder.
    """
    lesson = Lesson(pictures, image_size, steps, target)
    plan = plan_overfit(config, data, lesson, Path(output_dir))
    run = ensure_run(plan.config, output_dir=output_dir, tuning=tuning, max_steps=steps)
    run.wait()
    return judge_overfit(run, lesson, plan.chosen, plan.split, plan.config, tuning is not None)


def start_overfit(
    config: Config,
    tuning: PathLike | None = None,
    data: DataSource | PathLike | None = None,
    pictures: int = 4,
    *,
    image_size: int = 160,
    steps: int = 200,
    target: float = 0.9,
    output_dir: PathLike = "runs/overfit",
) -> Run:
    """Start the run of `overfit` and return at once, to be watched by `live_plot`.

    A run of exactly this that goes on or has finished in the folder is found again. `overfit` with
    the same arguments then waits for it and judges it. See there for arguments and errors.
    """
    lesson = Lesson(pictures, image_size, steps, target)
    plan = plan_overfit(config, data, lesson, Path(output_dir))
    return ensure_run(plan.config, output_dir=output_dir, tuning=tuning, max_steps=steps)


@dataclass(frozen=True)
class OverfitPlan:
    """What a run learns, and its configuration.

    Attributes:
        config: of the run.
        split: the pictures that it learns, alone.
        chosen: the same pictures, by their places in the whole split.
    """

    config: Config
    split: Split
    chosen: list[ChosenPicture]


def plan_overfit(
    config: Config, data: DataSource | PathLike | None, lesson: Lesson, output_dir: Path
) -> OverfitPlan:
    """Choose the pictures, write them below the folder of the run, and derive its configuration.

    Raises:
        UserError: as in `overfit`.
    """
    lesson.check()
    if data is not None:
        source = open_data(data)
        config = config.with_values({"data": None, **source.settings})
        split = source.train
    else:
        split = configured_split(config, "train")
        if config.data is not None:
            config = config.with_values({"data": None, **open_data(config.data).settings})
    split.check_usable()
    chosen = choose_pictures_to_learn(split, lesson.pictures)
    few = split.subset(np.array([picture.index for picture in chosen]))
    folder = _write_pictures(few, output_dir)
    return OverfitPlan(overfit_config(config, folder, lesson, len(few)), few, chosen)


def _write_pictures(split: Split, output_dir: Path) -> Path:
    """Write the pictures to a folder that is named by what it holds.

    `train` has them once for each step between two looks, in the same order, so that a batch is
    always all of them; `val` has them once.
    """
    place = output_dir / _PICTURES_FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=place, prefix=".partial"))
    except OSError as error:
        raise DatasetError(
            f"{error.filename or place} cannot be written ({error.strerror}). Give another "
            "output_dir."
        ) from error
    try:
        write_split(replace(split, name="train"), work, times=STEPS_A_LOOK)
        write_split(replace(split, name="val"), work)
        target = (place / _digest(work, split)).absolute()
        if not target.exists():
            work.rename(target)
            target.chmod(0o755)  # a temporary folder is for its maker alone
        return target
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _digest(work: Path, split: Split) -> str:
    """A name for what the annotation file and the pictures hold."""
    digest = sha256((work / "annotations" / "val.json").read_bytes())
    for index in range(len(split)):
        path = split.image_path(index)
        state = path.stat()
        digest.update(f"{path.resolve()} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()[:12]
