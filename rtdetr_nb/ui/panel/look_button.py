"""A button that looks into something beside the kernel, and the place where its report is shown."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import ipywidgets

from rtdetr_nb.errors import UserError
from rtdetr_nb.text.html_pieces import error_html
from rtdetr_nb.ui.panel.run_settings import RunSettings


class Report(Protocol):
    """What a look results in."""

    @property
    def sentence(self) -> str:
        """The answer in short."""
        ...

    def _repr_html_(self) -> str: ...


@dataclass(frozen=True)
class Look:
    """One thing that a panel can look into.

    Attributes:
        name: of the button.
        question: that it answers; shown when the pointer rests on it.
        waiting: shown while it looks.
        look: what the button does, as one line of Python on the settings.
    """

    name: str
    question: str
    waiting: str
    look: Callable[[RunSettings], Report]


LOOKS: Sequence[Look] = (
    Look(
        "Preflight",
        "Can this run be started, and what will it take?",
        "It is looked at: configuration, data, weights and disk, then two steps. About a minute.",
        RunSettings.preflight,
    ),
    Look(
        "Features",
        "What are the backbone's features worth to a detector?",
        "A small detector trains on the frozen features. About half a minute.",
        RunSettings.probe_detection,
    ),
    Look(
        "Overfit",
        "Can it learn four pictures by heart?",
        "It learns four pictures by heart. Up to three minutes.",
        RunSettings.overfit,
    ),
    Look(
        "Seeds 0, 1, 2",
        "Is the tuning file better than random weights by more than chance?",
        "Six runs, one after the other: seeds 0, 1 and 2, from the tuning file and from random "
        "weights.",
        RunSettings.compare_seeds,
    ),
)


class LookButton:
    """Does one look beside the kernel, and shows what it says.

    Args:
        what: it looks into.
        settings: of the run, asked for at each click.

    Attributes:
        report: of the last look; None before.
        button: to click.
        page: where the report is shown.
    """

    def __init__(self, what: Look, settings: Callable[[], RunSettings]) -> None:
        self._what = what
        self._settings = settings
        self.report: Any = None
        self.button = ipywidgets.Button(description=what.name)
        self.button.tooltip = what.question
        self.button.on_click(lambda _: self.start())
        self.page = ipywidgets.HTML()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Look in a thread, so that the panel goes on; one look at a time."""
        if self.button.disabled:
            return
        self.button.disabled = True
        self.page.value = f'<span role="status">{self._what.waiting}</span>'
        self.thread = threading.Thread(target=self._look, args=(self._settings(),), daemon=True)
        self.thread.start()

    def _look(self, settings: RunSettings) -> None:
        try:
            self.report = self._what.look(settings)
            self.page.value = _folded(self.report)
        except UserError as error:
            self.page.value = error_html(str(error))
        finally:
            self.button.disabled = False


def _folded(report: Report) -> str:
    """The sentence, with all of the page behind it; open where something is in the way."""
    is_open = "" if getattr(report, "go", True) else " open"
    return (
        f"<details{is_open}><summary>{escape(report.sentence)}</summary>"
        f"{report._repr_html_()}</details>"
    )
