import math
import time

import pytest

from rtdetr_nb.runs.file_names import METRICS_FILE, RUN_FILE
from rtdetr_nb.runs.previous import EARLIER_IS_KEPT, PreviousRun
from rtdetr_nb.runs.progress import RunProgress
from rtdetr_nb.text.html_pieces import error_html
from tests.ui.fake_run import FakeRun


@pytest.fixture
def fake(tmp_path) -> FakeRun:
    return FakeRun(tmp_path / "tuned")


def test_each_update_takes_in_what_is_new(fake):
    progress = RunProgress(fake.run, "tuned")
    assert progress.update() and progress.steps == []
    assert not progress.update()
    fake.step(1)
    fake.step(2)
    assert progress.update()
    assert progress.steps == [1, 2]
    assert progress.losses["loss"] == [39, 38]
    assert progress.losses["loss_giou"] == [2, 1]
    assert progress.learning_rates == [[1e-5, 1e-4], [2e-5, 1e-4]]
    assert progress.total_steps == 20


def test_steps_trained_again_after_a_resume_replace_the_first_ones(fake):
    progress = RunProgress(fake.run, "tuned")
    for step in (1, 2, 3):
        fake.step(step, loss=10.0)
    progress.update()
    fake.step(2, loss=5.0)
    progress.update()
    assert progress.steps == [1, 2]
    assert progress.losses["loss"] == [10, 5]
    assert len(progress.learning_rates) == len(progress.seconds) == 2


def test_evaluations_that_a_resume_has_left_behind_are_left_out(fake):
    progress = RunProgress(fake.run, "tuned")
    for step in (1, 2, 3):
        fake.step(step)
    fake.evaluate(3, 0.9)
    fake.append({"event": "predictions", "step": 3})
    progress.update()
    assert len(progress.evaluations) == len(progress.predictions) == 1
    fake.step(2)
    progress.update()
    assert progress.evaluations == progress.predictions == [] == fake.run.evaluations


def test_a_look_between_a_resume_and_its_first_step_agrees_with_the_history(fake):
    followed = RunProgress(fake.run, "tuned")
    for step in (1, 2, 3, 4):
        fake.step(step)
        fake.evaluate(step, step / 10)
        fake.append({"event": "predictions", "step": step, "pictures": []})
    followed.update()
    fake.append({"event": "start", "step": 2, "total_steps": 20})
    for progress in (followed, RunProgress(fake.run)):
        assert progress.update()
        assert progress.steps == list(fake.run.history.index) == [1, 2]
        assert progress.losses["loss"] == fake.run.history["loss"].tolist() == [39, 38]
        assert progress.evaluations == fake.run.evaluations and len(progress.evaluations) == 2
        assert [record["step"] for record in progress.predictions] == [1, 2]
        assert progress.average_precision == 0.2


def test_a_run_that_goes_on_shows_its_steps_while_it_starts(fake):
    fake.step(1)
    PreviousRun(fake.folder).move_description_away([RUN_FILE])
    fake.describe("starting", goes_on=True)
    progress = RunProgress(fake.run)
    assert progress.update() and progress.steps == list(fake.run.history.index) == [1]
    assert progress.facts() == ["starting"] and not progress.is_over


def test_a_run_begun_anew_starts_from_nothing(fake):
    progress = RunProgress(fake.run, "tuned")
    for step in range(1, 9):
        fake.step(step)
    progress.update()
    (fake.folder / METRICS_FILE).unlink()
    fake.append({"event": "start", "step": 0, "total_steps": 3})
    assert progress.update()
    assert progress.steps == [] and progress.total_steps == 3


def test_records_of_an_earlier_run_are_not_shown_while_the_next_one_starts(fake):
    fake.step(1)
    PreviousRun(fake.folder).move_description_away([RUN_FILE])
    fake.describe("starting")
    progress = RunProgress(fake.run, "tuned")
    assert not progress.update()
    assert progress.steps == []
    assert progress.facts() == ["starting"]
    assert not progress.is_over


def test_a_run_that_failed_before_its_records_shows_none_of_an_earlier_one(fake):
    fake.step(1)
    fake.evaluate(1, 0.5)
    fake.finish()
    followed = RunProgress(fake.run, "tuned")
    followed.update()
    PreviousRun(fake.folder).move_description_away([RUN_FILE])
    fake.fail("There is no picture folder x.", "")
    text = f"tuned: failed, no step yet\nThere is no picture folder x. {EARLIER_IS_KEPT}"
    for progress in (followed, RunProgress(fake.run, "tuned")):
        progress.update()
        assert progress.text() == text
        assert progress.steps == progress.evaluations == []
    assert not followed.update()


@pytest.mark.parametrize("facts", [{"goes_on": True}, {"resume": "last.pth"}])
def test_a_run_that_could_not_go_on_shows_the_records_that_it_would_continue(fake, facts):
    fake.step(1)
    PreviousRun(fake.folder).move_description_away([RUN_FILE])
    fake.describe("failed", error="The file is damaged.", **facts)
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    assert progress.steps == [1]


def test_time_left_is_that_of_the_steps_left(fake):
    for step in range(1, 6):
        fake.step(step, seconds=4.0 if step == 5 else 2.0)  # one slow step does not count
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    assert progress.seconds_left == 15 * 2.0
    assert progress.facts() == [
        "running", "step 5 of 20", "loss 37.00", "2 s a step", "about 30 s left",
    ]  # fmt: skip


def test_the_end_is_told_with_its_figures(fake):
    for step in range(1, 21):
        fake.step(step)
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    assert progress.facts()[-1] == "evaluating"
    fake.evaluate(20, 0.126)
    fake.finish()
    progress.update()
    assert progress.is_over and progress.seconds_left is None
    assert progress.text() == "tuned: finished, step 20 of 20, loss 24.00, AP 0.126"


def test_records_without_times_or_rates_are_read(fake):
    """As those of other writers."""
    fake.append({"step": 50, "loss": "inf"})
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    assert progress.losses["loss"] == [math.inf]
    assert math.isnan(progress.losses["loss_vfl"][0])
    assert progress.seconds_per_step is None and progress.seconds_left is None
    assert "step 50 of 20" in progress.text()


def test_a_quiet_run_is_called_so(fake):
    progress = RunProgress(fake.run, "tuned")
    fake.append({"event": "note", "time": 1000.0})
    progress.update()
    assert progress.facts()[-1].startswith("nothing recorded for ")


def test_a_log_of_every_hundredth_step_is_not_quiet_between_two(fake):
    """As the official one; 100 steps of 2 s are what it is silent for."""
    progress = RunProgress(fake.run, "official")
    for step in (1, 101, 201):
        fake.step(step, time=time.time() - 250)
    progress.update()
    assert not any("nothing recorded" in fact for fact in progress.facts())
    assert "loss -161.00" in progress.facts()  # of the last 9 steps one has told its loss
    fake.step(202, time=time.time() - 2500)
    progress.update()
    assert any("nothing recorded for 41 min" in fact for fact in progress.facts())


def test_an_error_is_a_sentence_with_the_end_of_the_log(fake):
    fake.step(1)
    fake.fail("The loss is not finite at step 2.", "step 1 of 20\n<b>RuntimeError</b>")
    progress = RunProgress(fake.run, "tuned & tested")
    progress.update()
    assert progress.is_over
    assert progress.text().splitlines() == [
        "tuned & tested: failed, step 1 of 20, loss 39.00",
        "The loss is not finite at step 2.",
        "step 1 of 20",
        "<b>RuntimeError</b>",
    ]
    html = progress.html("#0072b2")
    assert "tuned &amp; tested" in html and "&lt;b&gt;RuntimeError" in html
    assert 'role="alert"' in html and "#0072b2" in html


def test_a_long_line_of_the_log_is_cut_and_others_keep_their_indentation(fake):
    long = "missed " + "backbone.stem " * 3000
    fake.fail("It failed.", f'  File "train.py", line 3\n    loss.backward()\n{long}')
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    frame, code, cut = progress.error()[1].splitlines()
    assert frame == '  File "train.py", line 3' and code == "    loss.backward()"
    assert len(cut) < 400 and cut.endswith("more characters)")


def test_unreadable_records_are_a_sentence(fake):
    (fake.folder / METRICS_FILE).write_text("no json\n")
    progress = RunProgress(fake.run, "tuned")
    assert progress.update()
    assert progress.is_over
    assert "has a line that is not JSON" in progress.html("#000000")


def test_no_error_is_no_html():
    assert error_html("") == ""
    assert "<pre" not in error_html("One sentence.")


def test_how_far_an_evaluation_is(fake):
    progress = RunProgress(fake.run)
    fake.step(1)
    fake.append({"event": "evaluating", "step": 1, "done": 3, "of": 40})
    progress.update()
    assert progress.facts()[-1] == "evaluating 3 of 40 pictures"
    fake.evaluate(1, 0.5)
    progress.update()
    assert progress.facts()[-1] == "AP 0.500"
