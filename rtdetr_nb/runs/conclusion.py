"""What can be concluded from short runs with a tuning file and with random weights, and no more.

A run differs from the next by its seed alone. So a difference between two runs means nothing by
itself; only where several seeds of each kind do not overlap is there something to claim, and then
chance is named too: that of all orders in which the runs could have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import comb
from pathlib import Path
from statistics import mean
from typing import Any

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.file_names import CONFIG_FILE
from rtdetr_nb.runs.records import events
from rtdetr_nb.runs.run import Run

_LAST_STEPS = 10  # over which the loss is averaged
RARE = 1 / 20
"""What chance does at most this often is claimed."""
# Settings in which the runs may differ: the seed, and those that change nothing of the training.
_FREE_SETTINGS = frozenset(
    ("seed", "output_dir", "summary_dir", "print_freq", "preview_freq", "checkpoint_freq")
)


@dataclass(frozen=True)
class Conclusion:
    """The figures of the runs, and the sentence that they allow.

    Attributes:
        sentence: for people.
        claim: "better" or "worse" than random weights, or "none".
        steps: of every run.
        tuned_losses: mean total loss of the last steps, one for each run from the tuning file.
        random_losses: the same from random weights.
        tuned_ap: AP at the end of each run; empty unless all runs were evaluated.
        random_ap: the same from random weights.
    """

    sentence: str
    claim: str
    steps: int
    tuned_losses: tuple[float, ...]
    random_losses: tuple[float, ...]
    tuned_ap: tuple[float, ...]
    random_ap: tuple[float, ...]

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.sentence)}</b></p>"


def conclude(tuned: Run | Sequence[Run], random: Run | Sequence[Run]) -> Conclusion:
    """Compare runs from a tuning file with runs from random weights.

    Args:
        tuned: one run, or several that differ by their seeds.
        random: the same from random weights.

    Raises:
        RunError: a run has not finished, they are not equally long or not set up alike, one is
            given twice, or two of a kind have one seed.
    """
    kinds = [[kind] if isinstance(kind, Run) else list(kind) for kind in (tuned, random)]
    runs = [run for kind in kinds for run in kind]
    if not all(kinds):
        raise RunError("There is no run of one kind. Give at least one run of each.")
    steps = _common_steps(runs)
    _check_folders(runs)
    for kind in kinds:
        _check_seeds(kind)
    _check_settings(runs)
    losses = [tuple(last_loss(run) for run in kind) for kind in kinds]
    found = [[_average_precision(run) for run in kind] for kind in kinds]
    evaluated = all(value is not None for values in found for value in values)
    ap = [tuple(v for v in values if v is not None) if evaluated else () for values in found]
    claim, reading = _read(losses[0], losses[1])
    what = (
        f"After {steps} steps the loss (mean of the last {min(steps, _LAST_STEPS)}) is "
        f"{_spread(losses[0], '.2f')} from the tuning file and {_spread(losses[1], '.2f')} from "
        "random weights"
    )
    if evaluated:
        what += f", AP {_spread(ap[0], '.3f')} and {_spread(ap[1], '.3f')}"
    return Conclusion(f"{what}: {reading}.", claim, steps, *losses, *ap)


def _read(tuned: tuple[float, ...], random: tuple[float, ...]) -> tuple[str, str]:
    """Return the claim that the losses allow, and the end of a sentence about it."""
    if len(tuned) < 2 or len(random) < 2:
        return "none", (
            f"with one seed {'of each' if len(tuned) == len(random) else 'of one of them'} the "
            "spread between seeds is not known, so the difference may be chance"
        )
    order, orders = order_of_ends(tuned, random)
    if not order:
        return "none", "the seeds overlap, so no difference can be claimed"
    claim = {"below": "better", "above": "worse"}[order]
    chance = f"if the weights did not matter, this would happen once in {orders} times"
    if 1 / orders > RARE:
        return "none", (
            f"every tuned run ended {order} every random one, but with so few seeds that is no "
            f"proof; {chance}"
        )
    return claim, (
        f"every tuned run ended {order} every random one, so on these data the tuning file is "
        f"{claim} for so short a run; {chance}"
    )


def order_of_ends(first: Sequence[float], second: Sequence[float]) -> tuple[str, int]:
    """How the ends of runs of two kinds lie, and in how many orders they could have ended.

    Args:
        first: mean loss of the last steps, one for each seed.
        second: the same of the other kind.

    Returns:
        "below" if every first one lies below every second one, "above" for the other way round, ""
        if they overlap; then the number of orders, one of which is this.
    """
    orders = comb(len(first) + len(second), len(first))
    if max(first) < min(second):
        return "below", orders
    return ("above" if min(first) > max(second) else ""), orders


def _common_steps(runs: Sequence[Run]) -> int:
    for run in runs:
        if run.status != "finished":
            raise RunError(
                f"The run in {run.folder} is {run.status}. Only finished runs can be compared."
            )
    lengths = {int(run.history.index[-1]) if len(run.history) else 0 for run in runs}
    if len(lengths) != 1 or 0 in lengths:
        raise RunError(
            f"The runs have {' and '.join(map(str, sorted(lengths)))} steps. Only runs of the same "
            "length can be compared."
        )
    return lengths.pop()


def _check_folders(runs: Sequence[Run]) -> None:
    seen: set[str] = set()
    for run in runs:
        folder = str(run.folder.resolve())
        if folder in seen:
            raise RunError(f"The run in {run.folder} is given twice. Give each run once.")
        seen.add(folder)


def _check_seeds(runs: Sequence[Run]) -> None:
    """Refuse two runs with one seed: they are one run done twice. Unknown seeds pass."""
    folders: dict[int, Path] = {}
    for run in runs:
        starts = events(run.records, "start")
        seed = starts[-1].get("seed") if starts else None
        if seed is None:
            continue
        if seed in folders:
            raise RunError(
                f"The runs in {folders[seed]} and {run.folder} both have the seed {seed}, so they "
                "say nothing of the spread between seeds. Give runs with different seeds."
            )
        folders[seed] = run.folder


def _check_settings(runs: Sequence[Run]) -> None:
    """Refuse runs whose settings differ in more than the seed, as far as `config.yml` is kept."""
    known = [run for run in runs if (run.folder / CONFIG_FILE).is_file()]
    settings = [_settings(run) for run in known]
    for run, own in zip(known[1:], settings[1:], strict=True):
        keys = sorted(settings[0].keys() | own.keys())
        different = [key for key in keys if settings[0].get(key) != own.get(key)]
        if different:
            raise RunError(
                f"The runs in {known[0].folder} and {run.folder} differ in more than the tuning "
                f"file and the seed: {', '.join(different)}. Only runs with the same settings can "
                "be compared."
            )


def _settings(run: Run) -> dict[str, Any]:
    content = load_config(run.folder / CONFIG_FILE).yaml
    return {key: value for key, value in content.items() if key not in _FREE_SETTINGS}


def last_loss(run: Run) -> float:
    """The loss at the end of a run: the mean total loss of its last steps."""
    return float(run.history["loss"].iloc[-_LAST_STEPS:].mean())


def _average_precision(run: Run) -> float | None:
    evaluations = run.evaluations
    return evaluations[-1]["statistics"]["AP"] if evaluations else None


def _spread(values: tuple[float, ...], form: str) -> str:
    """Return one figure, or the mean and the range of several."""
    if len(values) == 1:
        return format(values[0], form)
    low, high = format(min(values), form), format(max(values), form)
    return f"{format(mean(values), form)} ({low} to {high}, {len(values)} seeds)"
