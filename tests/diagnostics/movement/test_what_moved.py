"""What moved in real runs, in sound ones and in those with a planted fault."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rtdetr_nb.diagnostics.movement.result import WhatMoved
from rtdetr_nb.diagnostics.movement.what_moved import what_moved
from rtdetr_nb.errors import RunError
from tests.diagnostics.movement.conftest import Trained

STEM = "backbone.stem.stem1.conv.weight"
Spoil = Callable[[Callable[[dict[str, Any]], None]], Path]


def straightforward(start: dict[str, Any], end: dict[str, Any], names: list[str]) -> float:
    """Norm of all differences over the norm of all starts, by concatenation."""
    before, after = (torch.cat([state[n].flatten().double() for n in names])
                     for state in (start, end))  # fmt: skip
    return float((after - before).norm() / before.norm())


def test_a_sound_run_is_ok_and_its_stem_bit_identical(moved: WhatMoved) -> None:
    assert moved.verdict == "ok" and moved.findings == ()
    assert (moved.step, moved.steps, moved.beginning) == (4, 4, "tuning.pth")
    assert list(moved.parts.index) == [
        "backbone", "stem", "stages.0", "stages.1", "stages.2", "stages.3", "encoder", "decoder"
    ]  # fmt: skip
    assert moved.parts.bit_identical.tolist() == [False, True] + [False] * 6
    assert moved.parts.state["stem"] == "frozen" and moved.parts.state["stages.0"] == "trainable"
    assert moved.parts.start["stem"] == "tuning file" and moved.parts.start["encoder"] == "random"
    assert "(stem not at all, as configured), the encoder by" in moved.sentence


def test_changes_are_those_of_the_files(moved: WhatMoved, tuned: Path) -> None:
    start = torch.load(tuned.parent / "tuning.pth", weights_only=True)["model"]
    content = torch.load(tuned / "last.pth", weights_only=True)
    names = [n for n in start if n.startswith("backbone.stages.2.") and "bn" not in n]
    layer = "backbone.stages.2.blocks.0.aggregation_squeeze_conv"
    convolution = [f"{layer}.conv.weight"]
    norm = [f"{layer}.bn.{n}" for n in ("weight", "bias", "running_mean", "running_var")]
    table = moved.table.loc[layer]
    whole = straightforward(start, content["model"], [*convolution, *norm])
    assert table.moved == pytest.approx(whole, rel=1e-9) and 1e-6 < table.moved < 0.1
    average = straightforward(start, content["ema"]["module"], [*convolution, *norm])
    assert table.average_moved == pytest.approx(average, rel=1e-9)
    assert 0 < average < whole, "the average lags behind"
    own = [n for n in start if n.startswith("backbone.stages.2.")]
    part = straightforward(start, content["model"], own)
    assert moved.parts.moved["stages.2"] == pytest.approx(part, rel=1e-9)
    assert straightforward(start, content["model"], names) > part, "frozen norms weigh it down"
    gap = straightforward(content["model"], content["ema"]["module"], own)
    assert moved.parts.average_gap["stages.2"] == pytest.approx(gap, rel=1e-9)


def test_random_weights_are_made_again_from_the_seed(trained: Trained, moved: WhatMoved) -> None:
    """Of other random weights the distance would be about the root of 2."""
    assert 1e-4 < moved.parts.moved["encoder"] < 0.2
    assert moved.notes == (
        "What began at random (encoder, decoder) was made again from the seed 3.",
    )
    folder = trained.run("unseeded", "--max-steps", 2, overrides=("seed=null",))
    unseeded = what_moved(folder)  # the seed that the run drew stands in its records
    assert unseeded.verdict == "ok"
    assert unseeded.parts.moved.max() < 0.2 and unseeded.parts.bit_identical["stem"]
    assert set(unseeded.parts.start) == {"random"}


def test_the_global_generator_is_left_alone(tuned: Path) -> None:
    before = torch.get_rng_state()
    what_moved(tuned)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_frozen_stem_that_was_changed_fails(spoilt: Spoil) -> None:
    def change(content: dict[str, Any]) -> None:
        value = content["model"][STEM]
        value[0, 0, 0, 0] = torch.nextafter(value[0, 0, 0, 0], torch.tensor(9.0))  # by one bit

    result = what_moved(spoilt(change))
    (failure,) = result.verdict.failures
    assert failure.what == "1 frozen tensor of stem changed." and failure.where == STEM
    assert not result.parts.bit_identical["stem"]
    assert "although it is frozen" in result.sentence


def test_a_learning_rate_of_zero_fails(trained: Trained) -> None:
    overrides = ("optimizer.lr=0", "optimizer.params.0.lr=0")
    result = what_moved(trained.run("still", "--max-steps", 2, overrides=overrides))
    parts = ["stages.0", "stages.1", "stages.2", "stages.3", "encoder", "decoder"]
    assert [f.where for f in result.verdict.failures] == parts
    assert {f.why for f in result.verdict.failures} == {"Its learning rate was 0 throughout."}
    assert "the encoder did not move at all, although it is trainable" in result.sentence
    assert result.parts.statistics["encoder"] > 0.01, "statistics need no learning rate"


def test_a_backbone_that_is_all_frozen_is_as_configured(trained: Trained) -> None:
    result = what_moved(trained.run("frozen", "--max-steps", 2, overrides=("HGNetv2.freeze_at=4",)))
    assert result.verdict == "ok"
    assert result.parts.state["backbone"] == "frozen" and result.parts.bit_identical["backbone"]
    assert (
        "the backbone did not move at all, as configured, the encoder moved by" in result.sentence
    )


def test_live_norms_of_a_frozen_stem_are_said(trained: Trained) -> None:
    """The official code freezes weights, not statistics: to know, not to fear."""
    overrides = ("HGNetv2.freeze_norm=False",)
    tuning = trained.write_tuning("live.pth")
    result = what_moved(trained.run("live", "-t", tuning, "--max-steps", 2, overrides=overrides))
    assert result.verdict == "ok"
    # The file has no counts of batches: these are no weights, and nothing random.
    assert result.notes[0].startswith("What began at random (encoder, decoder)")
    (note,) = result.findings
    assert "of stem are frozen, but the statistics of its norms moved" in note.what
    assert result.parts.bit_identical["stem"] and result.parts.statistics["stem"] > 1e-3


def test_statistics_that_should_move_and_did_not_are_a_warning(trained: Trained) -> None:
    folder = trained.root / "live_still"
    shutil.copytree(trained.run("live_2", "--max-steps", 2), folder)
    start = torch.load(folder / "last.pth", weights_only=True)
    for key, value in start["model"].items():
        if key.startswith("encoder.") and key.endswith(("running_mean", "running_var")):
            value.fill_(float(key.endswith("var")))  # as a norm begins
    torch.save(start, folder / "last.pth")
    result = what_moved(folder)
    assert [f.where for f in result.verdict.warnings] == ["encoder"]
    assert result.parts.statistics["encoder"] == 0.0


def test_an_average_that_stayed_behind_is_a_warning(spoilt: Spoil, tuned: Path) -> None:
    start = torch.load(tuned.parent / "tuning.pth", weights_only=True)["model"]

    def change(content: dict[str, Any]) -> None:
        content["ema"]["module"].update(
            {key: value for key, value in start.items() if ".stages.1." in key}
        )

    result = what_moved(spoilt(change))
    assert [f.where for f in result.verdict.warnings] == ["stages.1"]


def test_an_average_of_frozen_weights_that_differs_fails(spoilt: Spoil) -> None:
    result = what_moved(spoilt(lambda content: content["ema"]["module"][STEM].mul_(1.01)))
    (failure,) = result.verdict.failures
    assert failure.where == STEM and failure.what.startswith("The average of 1 frozen tensor")


def test_values_that_are_no_numbers_fail(spoilt: Spoil) -> None:
    key = "encoder.input_proj.0.conv.weight"
    result = what_moved(spoilt(lambda content: content["model"][key][0].fill_(torch.nan)))
    (failure,) = result.verdict.failures
    assert failure.where == key


def test_tensors_that_the_checkpoint_lacks_are_said(spoilt: Spoil) -> None:
    result = what_moved(spoilt(lambda content: content["model"].pop(STEM)))
    (failure,) = result.verdict.failures
    assert failure.where == STEM and "is not in last.pth" in failure.what


def test_a_run_that_goes_on_is_compared_with_its_first_beginning(
    trained: Trained, tuned: Path
) -> None:
    tuning = trained.root / "tuning.pth"
    folder = trained.run("longer", "-t", tuning, "--max-steps", 2)
    trained.run("longer", "-r", folder / "last.pth", "--max-steps", 4)
    result = what_moved(folder)
    assert (result.beginning, result.steps) == ("tuning.pth", 4)
    assert result.parts.moved["encoder"] == what_moved(tuned).parts.moved["encoder"]


def test_a_run_from_a_checkpoint_is_compared_with_that(trained: Trained, tuned: Path) -> None:
    folder = trained.run("resumed", "-r", tuned / "last.pth", "--max-steps", 6)
    result = what_moved(folder)
    assert (result.beginning, result.step, result.steps) == ("last.pth at step 4", 6, 2)
    assert set(result.parts.start) == {"checkpoint"} and result.parts.bit_identical["stem"]
    assert result.verdict == "ok" and result.notes == ()
    first, second = (torch.load(f / "last.pth", weights_only=True) for f in (tuned, folder))
    names = [n for n in first["model"] if n.startswith("encoder.") and "running" not in n
             and "num_batches" not in n]  # fmt: skip
    before, after = (content["ema"]["module"] for content in (first, second))
    # Over the norm of the raw start, as the raw change is.
    expected = straightforward(before, after, names)
    assert result.parts.average_moved["encoder"] == pytest.approx(expected, rel=0.02)
    trained.run("resumed", "-r", folder / "last.pth", "--max-steps", 7)
    with pytest.raises(RunError, match="no longer says which one. Give that file as start"):
        what_moved(folder)
    assert what_moved(folder, start=tuned / "last.pth").steps == 3


def test_a_checkpoint_that_has_gone_on_since_is_refused(trained: Trained) -> None:
    first = trained.run("first", "--max-steps", 1)
    second = trained.run("second", "-r", first / "last.pth", "--max-steps", 2)
    trained.run("first", "-r", first / "last.pth", "--max-steps", 3)
    with pytest.raises(RunError, match=r"began at step 1, and the file is at step 3"):
        what_moved(second)


def test_a_tuning_file_that_is_gone_can_be_given(tuned: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tuned, tmp_path / "copy")
    records = (folder / "metrics.jsonl").read_text()
    away = records.replace(str(tuned.parent), str(tmp_path / "away"))
    (folder / "metrics.jsonl").write_text(away)
    with pytest.raises(RunError, match=r"away/tuning\.pth, is not there\. Give the place"):
        what_moved(folder)
    given = what_moved(folder, start=tuned.parent / "tuning.pth")
    assert given.parts.moved.equals(what_moved(tuned).parts.moved)


def test_a_relative_path_is_found_from_where_the_run_was_started(
    tuned: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tuned, tmp_path / "runs" / "copy")
    shutil.copy2(tuned.parent / "tuning.pth", tmp_path / "tuning.pth")
    records = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(records.replace(f"{tuned.parent}/tuning", "tuning"))
    assert what_moved(folder).verdict == "ok"


def test_a_tuning_file_written_since_is_said(tuned: Path, tmp_path: Path) -> None:
    newer = shutil.copy(tuned.parent / "tuning.pth", tmp_path / "newer.pth")
    notes = what_moved(tuned, start=newer).notes
    assert notes[0].startswith("newer.pth was written after the run began")


def test_random_weights_of_the_official_code_are_not_guessed(tuned: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tuned, tmp_path / "official")
    description = json.loads((folder / "run.json").read_text()) | {"official": "/checkout"}
    (folder / "run.json").write_text(json.dumps(description))
    result = what_moved(folder)
    assert result.parts.moved.isna().tolist() == [False] * 6 + [True] * 2
    assert "of the encoder the start is not known" in result.sentence
    assert "official code draws its random weights by itself" in result.notes[-1]
    assert result.verdict == "ok"


def test_any_checkpoint_of_the_run_can_be_compared(tuned: Path) -> None:
    assert what_moved(str(tuned), checkpoint="last.pth").checkpoint == "last.pth"
    with pytest.raises(RunError, match=r"There is no checkpoint9\.pth in"):
        what_moved(tuned, checkpoint="checkpoint9.pth")
    with pytest.raises(RunError, match="holds no weights below 'model'"):
        what_moved(tuned, checkpoint=tuned.parent / "wrong.pth")


@pytest.fixture(autouse=True)
def wrong_checkpoint(tuned: Path) -> None:
    """A file that is no checkpoint of a run."""
    torch.save({"weights": {"a": torch.ones(1)}}, tuned.parent / "wrong.pth")


@pytest.mark.parametrize(
    ("gone", "reason"),
    [("config.yml", "what was frozen is not known"), ("metrics.jsonl", "has not begun")],
)
def test_a_folder_without_a_file_that_is_needed_is_a_sentence(
    tuned: Path, tmp_path: Path, gone: str, reason: str
) -> None:
    folder = shutil.copytree(tuned, tmp_path / "copy")
    (folder / gone).unlink()
    with pytest.raises(RunError, match=reason):
        what_moved(folder)


def test_text_and_html_say_the_same(moved: WhatMoved) -> None:
    for text in (str(moved), moved._repr_html_()):
        assert moved.sentence in text and "stages.3" in text and moved.notes[0] in text
