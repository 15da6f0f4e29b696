import pytest

from rtdetr_nb.errors import RunError
from rtdetr_nb.training.conclusion import conclude
from rtdetr_nb.training.run import Run
from tests.ui.fake_run import FakeRun


@pytest.fixture
def make_run(tmp_path):
    count = iter(range(100))

    def make(loss: float, average_precision: float | None = None, steps: int = 12) -> Run:
        fake = FakeRun(tmp_path / str(next(count)), total_steps=steps)
        for step in range(1, steps + 1):
            fake.step(step, loss=99.0 if step <= steps - 10 else loss)
        if average_precision is not None:
            fake.evaluate(steps, average_precision)
        fake.finish()
        return fake.run

    return make


def test_one_pair_of_runs_allows_no_claim(make_run):
    result = conclude(make_run(28.8, 0.126), make_run(32.0, 0.025))
    assert result.claim == "none"
    assert str(result) == (
        "After 12 steps the loss (mean of the last 10) is 28.80 from the tuning file and 32.00 "
        "from random weights, AP 0.126 and 0.025: with fewer than two seeds of each the spread "
        "between seeds is not known, so this says how these runs ended, not that the weights are "
        "why."
    )
    assert result.tuned_losses == pytest.approx([28.8]) and result.random_ap == (0.025,)


def test_seeds_that_overlap_allow_no_claim(make_run):
    tuned = [make_run(loss) for loss in (28, 30, 33)]
    random = [make_run(loss) for loss in (32, 34, 35)]
    result = conclude(tuned, random)
    assert result.claim == "none"
    assert "the seeds overlap" in result.sentence
    assert "30.33 (28.00 to 33.00, 3 seeds)" in result.sentence
    assert "AP" not in result.sentence and result.tuned_ap == ()


@pytest.mark.parametrize(
    ("seeds", "claim", "once_in"), [(2, "none", 6), (3, "better", 20), (4, "better", 70)]
)
def test_seeds_apart_claim_what_chance_hardly_does(make_run, seeds, claim, once_in):
    tuned = [make_run(28 + seed) for seed in range(seeds)]
    random = [make_run(38 + seed) for seed in range(seeds)]
    result = conclude(tuned, random)
    assert result.claim == claim
    assert f"once in {once_in} times" in result.sentence
    assert ("no proof" in result.sentence) == (claim == "none")


def test_a_worse_start_is_told_too(make_run):
    tuned = [make_run(38 + seed) for seed in range(3)]
    random = [make_run(28 + seed) for seed in range(3)]
    result = conclude(tuned, random)
    assert result.claim == "worse" and "above every random one" in result.sentence


def test_runs_without_boxes_to_find_have_no_ap(make_run):
    result = conclude(make_run(28, None), make_run(30, 0.1))
    assert result.random_ap == ()


def test_what_cannot_be_compared_is_refused(make_run, tmp_path):
    finished = make_run(28)
    with pytest.raises(RunError, match="12 and 15 steps"):
        conclude(finished, make_run(30, steps=15))
    going_on = FakeRun(tmp_path / "going_on").run
    with pytest.raises(RunError, match="going_on is running"):
        conclude(finished, going_on)


def test_html_is_escaped_text(make_run):
    html = conclude(make_run(28), make_run(30))._repr_html_()
    assert html.startswith("<p><b>After 12 steps")
