"""A chart of runs that answers to the mouse: hover, zoom, smoothing, steps or minutes.

It is drawn in the page by uPlot (`vendor/`, MIT licence: 53 kB, where a figure of plotly brings
4.5 MB into the page), which nothing is asked of the network for. A page gets all values once, and
then what is new.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from rtdetr_nb.runs.progress import LOSS, RunProgress
from rtdetr_nb.ui.figures.run import run_colors, thin

_FOLDER = Path(__file__).parent
_MOST_STEPS = 4000  # of a run: longer ones are sent anew, as means of neighbours, when they grow
_GROWTH = 1.05  # by which such a run has grown before it is sent anew
_SIGNIFICANT = 6  # digits that are sent


_SCRIPT = "".join(
    (_FOLDER / name).read_text(encoding="utf-8")
    for name in ("vendor/uPlot.iife.min.js", "element.js", "run_chart.js")
)
_STYLE = "".join(
    (_FOLDER / name).read_text(encoding="utf-8")
    for name in ("vendor/uPlot.min.css", "run_chart.css")
)


class RunChart(anywidget.AnyWidget):
    """The chart; `follow` sends what the followers have read since.

    Args:
        progress: a follower for each run; somebody else updates them.
    """

    _esm = _SCRIPT + "export default { render };"
    _css = _STYLE
    # Asked for when a page opens the chart, so that it never lacks what was sent to others.
    runs = traitlets.List().tag(sync=True, to_json=lambda _, chart: chart.whole())

    def __init__(self, progress: Sequence[RunProgress]) -> None:
        self._progress = list(progress)
        super().__init__()
        self._note_sent()
        self.on_msg(self._answer)

    def whole(self) -> list[dict[str, Any]]:
        """All runs as the page holds them; long ones thinned."""
        colors = run_colors(len(self._progress))
        return [_as_lists(run, color) for run, color in zip(self._progress, colors, strict=True)]

    def follow(self) -> None:
        """Send what has come since the last call."""
        for index, run in enumerate(self._progress):
            count, sent = len(run.steps), self._sent[index]
            has_grown = count > _MOST_STEPS and count > sent.steps * _GROWTH
            if sent.is_other(run) or has_grown:
                self.send({"do": "all", "runs": self.whole()})
                self._note_sent()
                return
            is_new = count > sent.steps or len(run.evaluations) > sent.evaluations
            if count <= _MOST_STEPS and is_new:
                self.send({"do": "append", "run": index, **_piece(run, sent.steps)})
                self._sent[index] = _Sent.of(run)

    def _answer(self, _: object, message: dict[str, Any], buffers: object) -> None:
        """Send all to a page that has missed something; it says how much of each run it has."""
        if message.get("do") != "whole":
            return
        runs = self.whole()
        if message.get("have") != [[len(run["steps"]), len(run["ap"])] for run in runs]:
            self.send({"do": "all", "runs": runs})

    def _note_sent(self) -> None:
        self._sent = [_Sent.of(run) for run in self._progress]


def chart_html(progress: Sequence[RunProgress], instead: str) -> str:
    """The chart as HTML that needs no kernel: it goes on in a saved notebook.

    Args:
        progress: a follower for each run.
        instead: HTML that stays where no script runs, and is hidden where one does.
    """
    colors = run_colors(len(progress))
    runs = [_as_lists(run, color) for run, color in zip(progress, colors, strict=True)]
    # A label may hold what would end the script.
    values = json.dumps(runs).replace("<", "\\u003c")
    name = f"rtnb-{uuid.uuid4().hex[:12]}"
    return (
        f'<style>{_STYLE}</style><div id="{name}"></div><div>{instead}</div>'
        f'<script type="module">{{{_SCRIPT}\n'
        f'const place = document.getElementById("{name}"), runs = {values};\n'
        "if (place) {\n"
        "  render({ model: { get: () => runs, on() {}, off() {} }, el: place });\n"
        "  place.nextElementSibling.hidden = true;\n"
        "}}</script>"
    )


@dataclass(frozen=True)
class _Sent:
    """What pages have of a run: numbers of steps and evaluations, and the last loss."""

    steps: int
    evaluations: int
    last: str

    @classmethod
    def of(cls, run: RunProgress) -> _Sent:
        return cls(len(run.steps), len(run.evaluations), _loss(run, len(run.steps)))

    def is_other(self, run: RunProgress) -> bool:
        """Whether steps that were sent have been abandoned, and trained anew."""
        return self.steps > len(run.steps) or self.last != _loss(run, self.steps)


def _loss(run: RunProgress, count: int) -> str:
    """The loss of the last of so many steps; as text, since NaN is not itself."""
    return repr(run.losses[LOSS][count - 1]) if count else ""


def _as_lists(run: RunProgress, color: str) -> dict[str, Any]:
    return {"label": run.label, "color": color, **_piece(run, 0, is_thin=True)}


def _piece(run: RunProgress, first: int, is_thin: bool = False) -> dict[str, Any]:
    """Values of a run from a place on; `is_thin` means neighbours of a long run."""
    minutes = [seconds / 60 for seconds in accumulate(run.seconds)]
    steps = np.asarray(run.steps[first:], dtype=float)

    def lists(values: Iterable[float]) -> list[float | None]:
        array = np.asarray(list(values), dtype=float)
        return _numbers(thin(steps, array)[1] if is_thin else array)

    values = {name: lists(column[first:]) for name, column in _quantities(run).items()}
    evaluated = [(e["step"], e["statistics"].get("AP")) for e in run.evaluations]
    known = [(step, ap) for step, ap in evaluated if ap is not None]
    at = [min(max(int(np.searchsorted(run.steps, step)), 0), len(minutes) - 1) for step, _ in known]
    return {
        "from": first,
        "steps": _numbers(thin(steps, steps)[0] if is_thin else steps),
        "minutes": lists(minutes[first:]),
        "values": values,
        "ap": _numbers([ap for _, ap in known]),
        "ap_steps": _numbers([step for step, _ in known]),
        "ap_minutes": _numbers([minutes[i] if minutes else 0.0 for i in at]),
    }


def _quantities(run: RunProgress) -> dict[str, Sequence[float]]:
    """What can be shown over the steps of a run, by its name; a run without it leaves it out."""
    found: dict[str, Sequence[float]] = dict(run.losses)
    for group, rates in enumerate(zip(*run.learning_rates, strict=False)):
        found[f"learning rate, {run.rate_title(group)}"] = rates
    spent = [seconds or math.nan for seconds in run.seconds]
    pictures = run.pictures_per_step or math.nan
    measured = {
        "seconds a step": run.seconds,
        "waiting for data, % of the step": [
            100 * waited / seconds for waited, seconds in zip(run.waited, spent, strict=True)
        ],
        "pictures a second": [pictures / seconds for seconds in spent],
        "memory, MiB": run.memory,
    }
    return found | {
        name: column for name, column in measured.items() if any(map(math.isfinite, column))
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    """For JSON, which has no NaN; to six digits."""
    return [float(f"{v:.{_SIGNIFICANT}g}") if math.isfinite(v) else None for v in values]
