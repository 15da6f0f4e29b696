"""The detector on frozen features: what it finds, and what it does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.detection import job
from rtdetr_nb.diagnostics.detection.probe_detection import probe_detection
from rtdetr_nb.diagnostics.detection.result import DetectionProbe, DetectionRecord
from rtdetr_nb.diagnostics.measuring.backbones import random_backbone
from rtdetr_nb.errors import ConfigError, DatasetError
from tests.diagnostics.detection.conftest import SIDE, Edit

pytestmark = pytest.mark.usefixtures("narrow")


def probe(config: Config, data: Path, **options: Any) -> DetectionProbe:
    settings = {"steps": 120, "image_size": SIDE, "device": "cpu", **options}
    return probe_detection(config, data=data, **settings)


def write_weights(config: Config, path: Path, seed: int) -> Path:
    state = random_backbone(config, seed).state_dict()
    torch.save({"model": {f"backbone.{key}": value for key, value in state.items()}}, path)
    return path


def shuffle_labels(content: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    for annotation in content["annotations"]:
        annotation["category_id"] = int(rng.integers(3))


def test_what_the_features_hold_is_found(config: Config, squares: Path) -> None:
    """Even random features tell where a square is, and its colour."""
    records: list[DetectionRecord] = []
    result = probe(config, squares, on_record=records.append)
    assert result.ap50 > 0.4 and result.ap > 0.15
    low, high = result.interval
    assert 0 < low < result.ap < high < 1
    assert result.loaded is None and result.difference is None and result.weights is None
    assert (result.pictures, result.boxes) == ((24, 12), (48, 24))
    assert [record.step for record in records] == [24, 48, 72, 96, 120]
    assert records == list(result.main.records) and {r.weights for r in records} == {
        "random weights"
    }
    assert records[-1].ap == pytest.approx(result.ap, abs=1e-9)
    assert records[-1].loss < 0.5 * records[0].loss
    classes = result.main.classes
    assert sum(c.val_boxes for c in classes) == 24
    assert np.mean([c.ap or 0.0 for c in classes]) == pytest.approx(result.ap)


@pytest.mark.slow
def test_shuffled_labels_are_not_learnt(config: Config, squares: Path, edit: Edit) -> None:
    sound = probe(config, squares)
    edit(squares, "train", shuffle_labels)
    assert probe(config, squares).ap < 0.6 * sound.ap


@pytest.mark.slow
def test_boxes_of_other_pictures_are_not_learnt(config: Config, squares: Path, edit: Edit) -> None:
    def exchange(content: dict[str, Any]) -> None:
        for annotation in content["annotations"]:
            annotation["image_id"] = (annotation["image_id"] + 1) % 24

    sound = probe(config, squares)
    edit(squares, "train", exchange)
    assert probe(config, squares).ap50 < 0.5 * sound.ap50


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(
    config: Config, squares: Path, tmp_path: Path
) -> None:
    file = write_weights(config, tmp_path / "one.pth", 0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    options: dict[str, Any] = {"tuning": file, "random": False, "steps": 20}
    first, second = (probe(config, squares, **options) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.main.records == second.main.records and first.interval == second.interval
    assert probe(config, squares, **options, seed=1).main.records != first.main.records


def test_random_weights_are_probed_once(
    config: Config, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is trained, and everything is as before; other settings are new."""
    first = probe(config, squares, steps=15)
    heard: list[DetectionRecord] = []
    with monkeypatch.context() as patch:
        patch.setattr(job, "random_backbone", None)
        again = probe(config, squares, steps=15, on_record=heard.append)
        assert tuple(heard) == again.main.records == first.main.records
        assert again.ap == first.ap and again.interval == first.interval
        assert np.array_equal(again.shown[0].boxes["random"], first.shown[0].boxes["random"])
        with pytest.raises(TypeError):
            probe(config, squares, steps=16)
        with pytest.raises(TypeError):
            probe(config, squares, steps=15, seed=1)


@pytest.mark.slow
def test_loaded_weights_are_those_of_the_file(
    config: Config, squares: Path, tmp_path: Path
) -> None:
    """A file of the random weights of seed 0 is as good as these, to the last digit."""
    same = probe(config, squares, tuning=write_weights(config, tmp_path / "same.pth", 0), steps=30)
    assert same.loaded and same.random
    assert [r.ap for r in same.loaded.records] == [r.ap for r in same.random.records]
    assert same.difference == (0.0, 0.0) and same.interval == same.random.interval
    assert "do not tell the features from random ones" in same.sentence
    other = write_weights(config, tmp_path / "other.pth", 1)
    alone = probe(config, squares, tuning=other, steps=30, random=False)
    assert alone.random is None and alone.weights == str(other) and alone.ap != same.ap


def test_a_class_without_training_boxes_is_said(config: Config, squares: Path, edit: Edit) -> None:
    def drop(content: dict[str, Any]) -> None:
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 1]

    edit(squares, "train", drop)
    result = probe(config, squares, steps=60)
    assert result.notes == ("No training boxes of: colour <1>. Their AP is 0.",)
    assert result.per_class.random["colour <1>"] == 0.0
    assert result.per_class.random["colour <2>"] > 0.1


@pytest.mark.slow
def test_pictures_without_boxes_are_looked_at_too(
    config: Config, squares: Path, edit: Edit
) -> None:
    """What is found in them is wrong, and counts."""

    def empty(content: dict[str, Any]) -> None:
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] >= 6]

    sound = probe(config, squares)
    edit(squares, "val", empty)
    result = probe(config, squares)
    assert result.pictures == (24, 12) and result.boxes == (48, 12)
    assert result.ap < sound.ap


def test_a_large_split_is_thinned_out_and_said(config: Config, squares: Path) -> None:
    result = probe(config, squares, max_pictures=12, steps=5)
    assert result.pictures == (12, 12)
    assert result.notes == ("train: 12 of 24 pictures are used.",)


def test_no_boxes_and_no_common_class_are_sentences(
    config: Config, squares: Path, edit: Edit
) -> None:
    def only(number: int) -> Any:
        return lambda content: content.update(
            annotations=[a for a in content["annotations"] if a["category_id"] == number]
        )

    edit(squares, "train", only(0))
    edit(squares, "val", only(1))
    with pytest.raises(DatasetError, match="No class has boxes in both"):
        probe(config, squares)
    edit(squares, "val", only(0))
    with pytest.raises(DatasetError, match=r"val\.json has no boxes"):
        probe(config, squares)


@pytest.mark.parametrize(
    "options", [{"image_size": 100}, {"image_size": 0}, {"steps": 0}, {"channels": 0}]
)
def test_numbers_that_cannot_be_used_are_refused(
    config: Config, squares: Path, options: dict[str, int]
) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is "):
        probe(config, squares, **options)


def test_text_and_html_say_the_same(config: Config, squares: Path) -> None:
    result = probe(config, squares, steps=5)
    assert "this speaks of the features alone" in str(result)
    assert "colour <1>" in str(result) and "colour &lt;1&gt;" in result._repr_html_()
    assert (
        f"AP {result.ap:.3f} (" in str(result) and f"AP {result.ap:.3f} (" in result._repr_html_()
    )


def test_shown_pictures_have_as_many_boxes_as_true_ones(config: Config, squares: Path) -> None:
    result = probe(config, squares, steps=60)
    assert len(result.shown) == 4
    for picture in result.shown:
        assert picture.pixels.shape == (SIDE, SIDE, 3)
        assert len(picture.boxes["random"]) <= len(picture.boxes["true"]) == 2
        assert len(picture.names["random"]) == len(picture.scores["random"])
        assert picture.scores["random"] == sorted(picture.scores["random"], reverse=True)
