"""Questions: the guess is compared with what really came out."""

import pytest

from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.errors import CheckpointError, UserError
from rtdetr_nb.text.findings import Finding, Verdict
from rtdetr_nb.ui.guess import guess
from tests.checkpoint.wild import CONFIG


class Folded:
    def _repr_html_(self) -> str:
        return "<details><summary>the line</summary></details>"


def test_a_right_and_a_wrong_guess():
    question = guess("How many?", {"one": 1, "two": 2}, lambda: 2)
    question.choose("two")
    assert question.reveal().correct
    question.choose("one")
    answer = question.reveal()
    assert not answer.correct and answer.right == "two"
    assert "No: two." in str(answer) and ">no<" in answer._repr_html_()


def test_without_a_guess_the_answer_is_told_and_folded():
    answer = guess("How many?", {"one": 1}, lambda: 1).reveal()
    assert answer.guess is None and not answer.correct and answer.right == "one"
    assert answer._repr_html_().startswith("<details>")


def test_an_outcome_that_no_choice_has():
    answer = guess("How many?", {"one": 1}, lambda: 3).reveal()
    assert answer.right is None and "none of these" in str(answer)


def test_the_experiment_runs_when_the_button_is_pressed_and_not_before():
    done = []
    question = guess("?", {"one": 1}, lambda: done.append(0) or len(done))
    assert done == []
    question._button.click()
    assert done == [0] and "<details open>" in question._answer.value


def test_the_answer_opens_and_what_is_folded_in_it_stays_folded(whole_file):
    question = guess("?", {"stops": "KeyError"}, lambda: predict_official(whole_file, CONFIG))
    loads = guess("?", {"one": 1}, lambda: Folded())
    for asked in (question, loads):
        asked._button.click()
        assert asked._answer.value.count("<details open>") == 1
    assert loads._answer.value.count("<details>") == 1


def test_an_official_prediction_is_its_number_or_its_exception(whole_file, tmp_path):
    choices = {"loads": 400, "stops": "KeyError"}
    assert guess("?", choices, lambda: predict_official(whole_file, CONFIG)).reveal().right == (
        "stops"
    )


def test_a_mistake_in_an_experiment_is_a_sentence():
    def fail() -> object:
        raise CheckpointError("There is no such file.")

    question = guess("?", {"one": 1}, fail)
    question._button.click()
    assert "There is no such file." in question._answer.value


def test_an_unknown_choice_is_refused():
    with pytest.raises(UserError, match="no choice 'three'"):
        guess("?", {"one": 1}, lambda: 1).choose("three")


def test_without_its_kernel_the_question_and_the_choices_remain():
    question = guess("How <many>?", {"one": 1, "two & more": 2}, lambda: 2)
    question.choose("one")
    bundle = question._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "How <many>?\n  (x) one\n  ( ) two & more"
    assert "How &lt;many&gt;?" in bundle["text/html"]
    assert "<li>two &amp; more</li>" in bundle["text/html"]


def test_a_report_is_the_word_of_its_verdict():
    class Report:
        verdict = Verdict([Finding("warning", "odd")])

    choices = {"sound": "ok", "odd": "warnings"}
    assert guess("?", choices, Report).reveal().right == "odd"


def test_a_refusal_is_an_outcome_where_a_choice_has_it():
    def refuse():
        raise UserError("There is no such file.")

    answer = guess("?", {"it works": "ok", "it is refused": "refused"}, refuse).reveal()
    assert answer.right == "it is refused" and answer.evidence == "There is no such file."
    with pytest.raises(UserError, match="no such file"):
        guess("?", {"it works": "ok"}, refuse).reveal()
