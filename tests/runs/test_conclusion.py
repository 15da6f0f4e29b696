import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.conclusion import conclude
from rtdetr_nb.runs.run import Run
from tests.ui.fake_run import FakeRun


@pytest.fixture
def make_run(tmp_path):
    count = iter(range(100))

    def make(
        loss: float, average_precision: float | None = None, steps: int = 12, **start: object
    ) -> Run:
        fake = FakeRun(tmp_path / str(next(count)), total_steps=steps)
        fake.append({"event": "start", "step": 0, **start})
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
        "from random weights, AP 0.126 and 0.025: with one seed of each the spread between "
        "seeds is not known, so the difference may be chance."
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


def test_what_a_resumed_run_has_abandoned_does_not_count(tmp_path):
    fake = FakeRun(tmp_path / "resumed")
    for first, last, loss in ((1, 20, 99.0), (3, 12, 28.0)):  # resumed from a checkpoint of step 2
        for step in range(first, last + 1):
            fake.step(step, loss=loss)
        if first == 1:
            fake.evaluate(last, 0.9)
    fake.finish()
    other = FakeRun(tmp_path / "other")
    for step in range(1, 13):
        other.step(step, loss=30.0)
    other.evaluate(12, 0.1)
    other.finish()
    result = conclude(fake.run, other.run)
    assert (result.steps, result.tuned_losses) == (12, (28.0,))
    assert result.tuned_ap == ()  # it was not evaluated again


def test_what_cannot_be_compared_is_refused(make_run, tmp_path):
    finished = make_run(28)
    with pytest.raises(RunError, match="12 and 15 steps"):
        conclude(finished, make_run(30, steps=15))
    going_on = FakeRun(tmp_path / "going_on").run
    with pytest.raises(RunError, match="going_on is running"):
        conclude(finished, going_on)


def test_one_run_given_twice_is_no_second_seed(make_run):
    tuned, random = make_run(28), make_run(38)
    with pytest.raises(RunError, match="is given twice"):
        conclude([tuned] * 3, [random] * 3)
    with pytest.raises(RunError, match="is given twice"):
        conclude(tuned, Run(tuned.folder / ".." / tuned.folder.name))
    with pytest.raises(RunError, match="no run of one kind"):
        conclude([], random)


def test_two_runs_with_one_seed_are_no_two_seeds(make_run):
    random = [make_run(38 + seed, seed=seed) for seed in range(3)]
    with pytest.raises(RunError, match="both have the seed 7"):
        conclude([make_run(28, seed=7), make_run(29, seed=3), make_run(27, seed=7)], random)
    tuned = [make_run(28 + seed, seed=seed) for seed in range(3)]
    assert conclude(tuned, random).claim == "better"


def test_runs_have_to_be_set_up_alike_as_far_as_that_is_known(make_run):
    tuned, random, unknown = make_run(28), make_run(38), make_run(39)
    config = load_config("rtdetrv2_hgnetv2_l")
    (tuned.folder / "config.yml").write_text(config.override(["seed=1", "print_freq=3"]).to_yaml())
    (random.folder / "config.yml").write_text(config.override(["seed=2"]).to_yaml())
    assert conclude(tuned, [random, unknown]).claim == "none"
    other = config.override(["optimizer.lr=0.5", "clip_max_norm=3"])
    (random.folder / "config.yml").write_text(other.to_yaml())
    with pytest.raises(RunError, match="tuning file and the seed: clip_max_norm, optimizer"):
        conclude(tuned, [random, unknown])


def test_html_is_escaped_text(make_run):
    html = conclude(make_run(28), make_run(30))._repr_html_()
    assert html.startswith("<p><b>After 12 steps")
