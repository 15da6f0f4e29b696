"""A short run as one value: the settings that the run panel shows and starts."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.launchers.slurm import Slurm
from rtdetr_nb.runs.find_or_start import ensure_run, find_run
from rtdetr_nb.runs.run import Run, attach_run, start_run
from rtdetr_nb.ui.panel.run_checks import (
    check_data,
    check_device,
    check_path,
    check_tuning,
    saved_step,
)

if TYPE_CHECKING:
    from rtdetr_nb.diagnostics.detection.result import DetectionProbe
    from rtdetr_nb.diagnostics.overfit.report import OverfitReport
    from rtdetr_nb.diagnostics.preflight.report import PreflightReport
    from rtdetr_nb.ui.panel.seed_runs import SeedRuns

SMALLEST_IMAGE = 96
# What `HGNetv2.freeze_at` means, in the names that the state dict has.
FREEZING = {
    -1: "nothing",
    0: "the stem",
    1: "stem and stages.0",
    2: "stem, stages.0 and stages.1",
    3: "stem, stages.0 to stages.2",
    4: "the whole backbone",
}
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}


@dataclass(frozen=True)
class RunSettings:
    """A short run: the preset `quick_run` with the settings that one changes for it.

    Attributes:
        data: a data set's folder, of any layout; see `datasets.open_data.open_data`.
        output: folder of the run.
        tuning: tuning file to start from; empty starts from random weights.
        backbone_of: configuration of the full training, whose backbone the run has; see
            `quick_run_config`.
        steps: optimizer updates.
        batch_size: pictures of a step.
        image_size: height and width of the pictures, a multiple of 32.
        learning_rate: of encoder and decoder.
        backbone_learning_rate: of the backbone.
        freeze_at: what of the backbone is not trained, as `FREEZING` has it in words.
        freeze_norm: the backbone's norms keep their statistics, scales and shifts.
        use_amp: mixed precision.
        seed: of weights and data.
        device: "cpu", "cuda" or "cuda:N"; empty takes a GPU if there is one.
        preview_freq: predictions on validation pictures every so many steps; 0 is never.
        processes: that train together on this machine; see `start_run`.
        launcher: `rt.Slurm(...)` starts the run as a job of SLURM instead.
    """

    data: str = "data/shapes"
    output: str = "runs/panel"
    tuning: str = ""
    backbone_of: str = "rtdetrv2_hgnetv2_l"
    steps: int = 60
    batch_size: int = 4
    image_size: int = 256
    learning_rate: float = 4e-4
    backbone_learning_rate: float = 5e-5
    freeze_at: int = -1
    freeze_norm: bool = False
    use_amp: bool = False
    seed: int = 0
    device: str = ""
    preview_freq: int = 10
    processes: int = 1
    launcher: Slurm | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, os.PathLike):  # as reports of written files give them
                object.__setattr__(self, field.name, os.fspath(value))

    def check_kinds(self) -> None:
        """Refuse a value that no control of a panel can show.

        Raises:
            RunError: the first setting of a wrong type or outside its choices.
        """
        if not isinstance(self.launcher, Slurm | None):
            raise RunError(f"Launcher is {self.launcher!r}; expected rt.Slurm(...) or None.")
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if field.name == "launcher":
                continue
            kinds = (int, float) if kind is float else kind
            if not isinstance(value, kinds) or isinstance(value, bool) != (kind is bool):
                plain = isinstance(value, str | int | float | None)
                found = repr(value) if plain else f"of type {type(value).__name__}"
                raise RunError(f"{_named(field.name)} is {found}; expected {_KINDS[kind]}.")
        if self.freeze_at not in FREEZING:
            raise RunError(f"freeze_at is {self.freeze_at}; expected -1 to {max(FREEZING)}.")

    def check(self) -> None:
        """Refuse settings that cannot work, before a process is started for them.

        Raises:
            UserError: the first setting that cannot be used, in a sentence.
        """
        self.check_kinds()
        for name, least in (("steps", 1), ("batch_size", 1), ("seed", 0), ("preview_freq", 0),
                            ("processes", 1)):  # fmt: skip
            value = getattr(self, name)
            if value < least:
                raise RunError(f"{_named(name)} is {value}; expected {least} or more.")
        if self.image_size < SMALLEST_IMAGE or self.image_size % 32:
            raise RunError(
                f"The image size is {self.image_size}; expected a multiple of 32, at least "
                f"{SMALLEST_IMAGE}: the coarsest map has a cell for every 32 pixels, and the maps "
                "of smaller pictures have fewer cells than the preset has queries (100)."
            )
        for name in ("learning_rate", "backbone_learning_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise RunError(f"{_named(name)} is {value}; expected a number between 0 and 1.")
        if not self.output.strip():
            raise RunError("There is no output folder. Name one, for example runs/tuned.")
        for name in ("data", "output", "tuning"):
            check_path(_named(name), getattr(self, name))
        check_device(self.device)
        if self.tuning:
            check_tuning(self.tuning, self.backbone_of)
        check_data(self.data, self.batch_size)

    def warnings(self) -> list[str]:
        """Sentences on settings that work but are seldom meant."""
        found = []
        if self.freeze_norm and not self.tuning:
            found.append("Frozen norms without a tuning file keep mean 0 and variance 1 for the "
                         "whole run.")  # fmt: skip
        if self.freeze_at >= 0 and not self.tuning:
            found.append(f"Without a tuning file {FREEZING[self.freeze_at]} stays random: it is "
                         "frozen.")  # fmt: skip
        return found

    def config(self) -> Config:
        """The configuration of the run.

        Raises:
            UserError: a setting or the data cannot be used.
        """
        self.check()
        settings = {
            "seed": self.seed,
            "use_amp": self.use_amp,
            "preview_freq": self.preview_freq,
            "HGNetv2.freeze_at": self.freeze_at,
            "HGNetv2.freeze_norm": self.freeze_norm,
            "optimizer.lr": self.learning_rate,
            "optimizer.params.0.lr": self.backbone_learning_rate,
        }
        if self.device:
            settings["device"] = self.device
        return quick_run_config(
            self.data,
            steps=self.steps,
            image_size=self.image_size,
            batch_size=self.batch_size,
            backbone_of=self.backbone_of,
            overrides=[f"{name}={value}" for name, value in settings.items()],
        )

    def preflight(self) -> PreflightReport:
        """Say whether the run can be started and what it will take; see `preflight`.

        Raises:
            UserError: a setting or the data cannot be used.
        """
        from rtdetr_nb.diagnostics.preflight.preflight import preflight

        weights, steps = self.tuning or None, self.steps
        return preflight(self.config(), weights, output_dir=self.output, max_steps=steps)

    def probe_detection(self) -> DetectionProbe:
        """Say what the features of the backbone are worth to a detector; see `probe_detection`.

        Raises:
            UserError: a setting or the data cannot be used.
        """
        from rtdetr_nb.diagnostics.detection.probe_detection import probe_detection

        return probe_detection(self.config(), self.tuning or None, image_size=self.image_size)

    def overfit(self) -> OverfitReport:
        """Say whether it can learn four pictures by heart; see `overfit`.

        Its run is in the folder beside `output` that ends with `_overfit`.

        Raises:
            UserError: a setting or the data cannot be used.
        """
        from rtdetr_nb.diagnostics.overfit.overfit import overfit

        folder = f"{self.output}_overfit"
        return overfit(self.config(), self.tuning or None, output_dir=folder)

    def compare_seeds(self, seeds: Sequence[int] = (0, 1, 2)) -> SeedRuns:
        """Run with several seeds, from the tuning file and from random weights, and conclude.

        The runs are in the folder beside `output` that ends with `_seeds`.

        Raises:
            UserError: there is no tuning file, or a setting or the data cannot be used.
        """
        from rtdetr_nb.ui.panel.seed_runs import compare_seeds

        return compare_seeds(self, seeds)

    def start(self, replace: bool = False) -> Run:
        """Start the run, or find it again if just this goes on or has finished in the folder.

        Args:
            replace: another run in the folder, which has ended, may be overwritten.

        Raises:
            UserError: a setting or the data cannot be used, a run lives in the folder, or it holds
                one and `replace` was not given.
        """
        config = self.config()
        wanted = {
            "output_dir": self.output,
            "tuning": self.tuning or None,
            "max_steps": self.steps,
        }
        how = {"processes": self.processes, "launcher": self.launcher}
        earlier = Run(Path(self.output)).describe()
        if earlier.description and not replace and find_run(config, **wanted) is None:
            raise RunError(
                f"{self.output} holds another run ({earlier.status}). Choose another folder, "
                "resume that run, or allow it to be replaced."
            )
        return ensure_run(config, **wanted, **how)

    def resume(self) -> Run:
        """Go on with the run in the folder up to `steps`, under these settings.

        Where a start has failed before its first step, that is the run before it.

        Raises:
            UserError: there is no run to go on with, it lives, or it has as many steps already and
                their evaluation.
        """
        config = self.config()
        earlier = attach_run(self.output)
        seen = earlier.describe()
        if not seen.is_over:
            raise RunError(f"The run in {self.output} goes on; there is nothing to resume.")
        if earlier.has_earlier:
            earlier.restore_earlier()
        if not earlier.checkpoint.is_file():
            raise RunError(f"{self.output} has no {earlier.checkpoint.name} to go on from.")
        done, is_evaluated = saved_step(earlier)
        if done >= self.steps and is_evaluated:
            raise RunError(
                f"The run in {self.output} has {done} steps already. Set steps to more than that."
            )
        return start_run(
            config,
            output_dir=self.output,
            resume=earlier.checkpoint,
            max_steps=self.steps,
            processes=self.processes,
            launcher=self.launcher,
        )

    def code(self) -> str:
        """One line of Python that makes these settings."""
        default = RunSettings()
        changed = [
            f"{field.name}={_in_code(getattr(self, field.name))}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        ]
        return f"rt.RunSettings({', '.join(changed)}).start()"


def _in_code(value: object) -> str:
    return f"rt.{value!r}" if isinstance(value, Slurm) else repr(value)


def _named(setting: str) -> str:
    return setting.replace("_", " ").capitalize()
