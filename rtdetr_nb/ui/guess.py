"""Predict first, then see: a question whose answer is found by really doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets

from rtdetr_nb.checkpoint.official_loader.prediction import OfficialPrediction
from rtdetr_nb.errors import UserError
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.ui.static_twin import StaticTwin

REFUSED = "refused"
"""The outcome of an experiment that ends with a sentence of this kit's."""


@dataclass(frozen=True)
class Answer:
    """What came out, beside what was guessed.

    Attributes:
        guess: the chosen words, or None without a choice.
        right: the words that turned out right, or None if no choice has this outcome.
        evidence: what the experiment returned.
    """

    guess: str | None
    right: str | None
    evidence: object = field(repr=False)

    @property
    def correct(self) -> bool:
        """Whether the guess was right."""
        return self.guess is not None and self.guess == self.right

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return f"{self._sentence()}\n{self.evidence}"

    def _sentence(self) -> str:
        outcome = self.right or "none of these"
        if self.guess is None:
            return f"The answer: {outcome}."
        return f"You said: {self.guess}. {'Yes' if self.correct else 'No'}: {outcome}."

    def _repr_html_(self) -> str:
        """Folded, so that reading on does not give it away."""
        word = "" if self.guess is None else badge("yes" if self.correct else "no") + " "
        make = getattr(self.evidence, "_repr_html_", None)
        evidence = make() if make else f"<pre>{shown(str(self.evidence))}</pre>"
        return (
            f"<details><summary>The answer (open it after your guess)</summary>"
            f"<p>{word}{shown(self._sentence())}</p>{evidence}</details>"
        )


class Guess(widgets.VBox):
    """A question with choices, and a button that does the experiment.

    In Python: `guess.choose("none, and no error")`, then `guess.reveal()`.
    """

    def __init__(self, question: str, choices: Mapping[str, object], ask: Callable[[], object]):
        """Show a question.

        Args:
            question: one sentence.
            choices: the words of each choice, and the outcome that makes it right.
            ask: does the experiment. An `OfficialPrediction` that it returns has the number of
                loaded tensors, or the name of the exception, as its outcome; a report has the word
                of its verdict; any other value is its own. Where a choice has the outcome
                "refused", a `UserError` is that outcome.
        """
        self._question, self._choices, self._ask = question, dict(choices), ask
        self._radio = widgets.RadioButtons(
            options=list(choices), value=None, layout={"width": "max-content"}
        )
        self._button = widgets.Button(description="Check", tooltip="Check")
        self._answer = widgets.HTML()
        heading = widgets.HTML(f"<b>{shown(question)}</b>")
        super().__init__([heading, self._radio, self._button, self._answer])
        self._button.on_click(lambda _: self._show_answer())
        self._twin = StaticTwin(lambda: self.text, self._as_html)

    def choose(self, words: str) -> None:
        """Choose one of the choices.

        Raises:
            UserError: there is no such choice.
        """
        if words not in self._choices:
            raise UserError(f"There is no choice {words!r}; they are: {', '.join(self._choices)}.")
        self._radio.value = words

    def reveal(self) -> Answer:
        """Do the experiment and return what came out."""
        evidence, outcome = self._found()
        right = next((w for w, value in self._choices.items() if value == outcome), None)
        return Answer(self._radio.value, right, evidence)

    def _found(self) -> tuple[object, object]:
        """What the experiment returned, and the outcome that it stands for."""
        try:
            evidence = self._ask()
        except UserError as error:
            if REFUSED not in self._choices.values():
                raise
            return str(error), REFUSED
        return evidence, _outcome(evidence)

    @property
    def text(self) -> str:
        """The question and its choices, one a line."""
        chosen = self._radio.value
        marks = [f"  {'(x)' if words == chosen else '( )'} {words}" for words in self._choices]
        return "\n".join([self._question, *marks])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what a page without widgets can show."""
        return self._twin.beside(super()._repr_mimebundle_(**options))

    def _ipython_display_(self) -> None:
        self._twin.show(self._repr_mimebundle_())

    def _as_html(self) -> str:
        choices = "".join(f"<li>{shown(words)}</li>" for words in self._choices)
        return f"<p><b>{shown(self._question)}</b></p><ul>{choices}</ul>{self._answer.value}"

    def _show_answer(self) -> None:
        try:
            # The first one only: the evidence may hold folded parts too, as long as a page.
            folded = self.reveal()._repr_html_()
            self._answer.value = folded.replace("<details>", "<details open>", 1)
        except UserError as error:
            self._answer.value = f"{badge('failed')} {shown(str(error))}"
        self._twin.update()


def guess(question: str, choices: Mapping[str, object], ask: Callable[[], object]) -> Guess:
    """Return a question whose answer `ask` finds by doing it; see `Guess`."""
    return Guess(question, choices, ask)


def _outcome(evidence: Any) -> object:
    if isinstance(evidence, OfficialPrediction):
        return evidence.exception if evidence.match is None else len(evidence.match.loaded)
    if isinstance(getattr(evidence, "verdict", None), Verdict):
        return str(evidence.verdict)
    return evidence
