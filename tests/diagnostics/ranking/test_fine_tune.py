"""What short runs decide, and that runs which are there are found again."""

import shutil
from pathlib import Path

import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.diagnostics.ranking.fine_tune import ShortRuns, conclude_runs
from rtdetr_nb.diagnostics.ranking.made_stages import make_stages
from rtdetr_nb.diagnostics.ranking.rank_backbones import rank_backbones
from rtdetr_nb.diagnostics.ranking.result import Ranking
from rtdetr_nb.errors import UserError
from rtdetr_nb.runs.find_or_start import find_runs
from tests.paths import DATA

DEMO = DATA / "demo_backbone_mmdet.pth"


def test_seeds_that_lie_apart_decide() -> None:
    found = conclude_runs({"b": (3.0, 3.1, 3.2), "a": (2.0, 2.1, 2.9)}, 60)
    assert found.best == "a"
    assert found.conclusion == (
        "After 60 steps the loss of a is 2.33 (2.00 to 2.90, 3 seeds), and every run of it ended "
        "below every run of the others; for two equal files that happens once in 20 times."
    )


def test_seeds_that_overlap_decide_nothing() -> None:
    found = conclude_runs({"b": (2.8, 3.1, 3.2), "a": (2.0, 2.1, 2.9), "c": (5.0, 6.0, 7.0)}, 60)
    assert found.best == ""
    assert found.conclusion == (
        "After 60 steps the loss of a is 2.33 (2.00 to 2.90, 3 seeds); the short runs do not tell "
        "it from b (3.03 (2.80 to 3.20, 3 seeds))."
    )


def test_two_seeds_are_too_few() -> None:
    found = conclude_runs({"b": (5.0, 5.0), "a": (1.0, 1.0)}, 60)
    assert found.best == "" and found.conclusion.endswith("three seeds decide nothing.")


def test_one_file_alone_is_not_compared() -> None:
    assert conclude_runs({"a": (1.0, 1.0, 1.0)}, 60).best == ""


def test_what_is_asked_for_is_checked() -> None:
    assert ShortRuns.asked({"steps": 5}) == ShortRuns(steps=5)
    with pytest.raises(UserError, match=r"fine_tune has no 'step'. Did you mean 'steps'\?"):
        ShortRuns.asked({"step": 5})
    for wrong in ({"seeds": 0}, {"files": 1}, {"steps": "many"}):
        with pytest.raises(UserError, match="or more"):
            ShortRuns.asked(wrong)
    with pytest.raises(UserError, match=r"launcher is 'slurm'; it takes rt\.Slurm"):
        ShortRuns.asked({"launcher": "slurm"})


@pytest.mark.slow
def test_short_runs_are_added_and_found_again(tmp_path: Path) -> None:
    files = make_stages(DEMO, tmp_path / "stages", DATA / "shapes", noise=(1.6, 0.0))
    copy = shutil.copy(files[-1], tmp_path / "stages" / "best.pth")
    asked = {"steps": 2, "seeds": 2, "image_size": 128, "output_dir": str(tmp_path / "runs")}
    config = load_config("rtdetrv2_hgnetv2_l")

    def rank(**other: object) -> Ranking:
        wanted = {**asked, **other}
        return rank_backbones(
            [*files, copy], config, DATA / "shapes", max_pictures=24, fine_tune=wanted, device="cpu"
        )

    ranking = rank()
    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 2, "a copy has no runs"
    started = [run.description["started"] for f in folders for run in find_runs(f)]
    assert len(started) == 4
    with_runs = [file for file in ranking.files if file.losses]
    assert len(with_runs) == 2 and all(len(file.losses) == 2 for file in with_runs)
    assert "Fewer than three seeds decide nothing" in ranking.fine_tuned
    assert ranking.table.loss.notna().sum() == 2 and ranking.fine_tuned in str(ranking)
    again = rank()
    assert [run.description["started"] for f in folders for run in find_runs(f)] == started
    assert again.fine_tuned == ranking.fine_tuned
    too_small = rank(image_size=64, output_dir=str(tmp_path / "small"))
    assert too_small.fine_tuned == "Fewer than two files have finished their short runs."
    (note,) = set(too_small.notes) - set(ranking.notes)
    assert "num_queries is 100. Use larger pictures" in note
