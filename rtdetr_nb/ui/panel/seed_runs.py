"""The same run with several seeds, from the tuning file and from random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtdetr_nb.errors import RunError
from rtdetr_nb.progress_bar import progress
from rtdetr_nb.runs.conclusion import Conclusion, conclude
from rtdetr_nb.runs.run import Run
from rtdetr_nb.ui.live_plot import LivePlot, follow

if TYPE_CHECKING:
    from rtdetr_nb.ui.panel.run_settings import RunSettings


@dataclass(frozen=True)
class SeedRuns:
    """The runs of several seeds, and what their spread allows to say.

    Attributes:
        tuned: a run a seed, from the tuning file.
        random: the same from random weights.
        conclusion: of both; see `conclude`.
    """

    tuned: tuple[Run, ...]
    random: tuple[Run, ...]
    conclusion: Conclusion

    @property
    def sentence(self) -> str:
        """What the spread of the seeds allows to say."""
        return self.conclusion.sentence

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        runs = [*self.tuned, *self.random]
        plot = LivePlot(follow(runs))
        try:
            return self.conclusion._repr_html_() + plot.static_html
        finally:
            plot.close()


def compare_seeds(settings: RunSettings, seeds: Sequence[int]) -> SeedRuns:
    """Start the runs one after the other, and wait; runs that are there are found again.

    Args:
        settings: of each run but for seed, folder and, for random weights, the tuning file.
        seeds: of the runs.

    Raises:
        RunError: there is no tuning file, or a run did not finish.
        UserError: a setting or the data cannot be used.
    """
    if not settings.tuning:
        raise RunError("There is no tuning file to compare with random weights. Name one.")
    runs: dict[str, list[Run]] = {"tuned": [], "random": []}
    with progress("Runs of several seeds", 2 * len(seeds), "run") as bar:
        for seed in seeds:
            for kind, tuning in (("tuned", settings.tuning), ("random", "")):
                folder = f"{settings.output}_seeds/{kind}_{seed}"
                run = replace(settings, seed=seed, tuning=tuning, output=folder).start(replace=True)
                if run.wait() != "finished":
                    raise RunError(f"{folder}: {run.reason or f'the run is {run.status}.'}")
                runs[kind].append(run)
                bar.to(len(runs["tuned"]) + len(runs["random"]))
    tuned, random = runs["tuned"], runs["random"]
    return SeedRuns(tuple(tuned), tuple(random), conclude(tuned, random))
