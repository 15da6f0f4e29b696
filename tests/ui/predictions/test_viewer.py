"""Predictions beside each other."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import traitlets
from PIL import Image

from rtdetr_nb.errors import RunError
from rtdetr_nb.ui.predictions.viewer import show_predictions
from tests.ui.fake_run import FakeRun


def predict(fake: FakeRun, file: Path, step: int = 10, score: float = 0.9) -> None:
    picture = {
        "image_id": 1,
        "file": str(file),
        "size": [200, 100],
        "true_boxes": [[20, 10, 60, 40]],
        "true_labels": ["star"],
        "boxes": [[22, 10, 60, 40], [100, 50, 150, 90]],
        "labels": ["star", "disc"],
        "scores": [score, 0.2],
    }
    fake.append({"event": "predictions", "step": step, "pictures": [picture]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("RGB", (200, 100), (250, 0, 0)).save(tmp_path / "red.png")
    return tmp_path / "red.png"


@pytest.fixture
def runs(tmp_path: Path, file: Path) -> list[FakeRun]:
    made = [FakeRun(tmp_path / name) for name in ("tuned", "random")]
    for fake, score in zip(made, (0.9, 0.4), strict=True):
        predict(fake, file, 0, 0.05)
        predict(fake, file, 10, score)
    return made


def test_truth_and_the_last_of_each_run_stand_in_one_row(runs: list[FakeRun]) -> None:
    viewer = show_predictions([fake.run for fake in runs], labels=["with", "without"])
    (shown,) = viewer.pictures
    assert [kind["label"] for kind in shown["kinds"]] == ["ground truth", "with", "without"]
    assert [kind["scores"] for kind in shown["kinds"]] == [None, [0.9, 0.2], [0.4, 0.2]]
    assert len({kind["color"] for kind in shown["kinds"]}) == 3
    content = base64.b64decode(shown["source"].partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (200, 100)
        assert abs(np.asarray(image)[0, 0].astype(int) - (250, 0, 0)).max() < 8  # JPEG
    rows = [ax.get_ylabel() for ax in viewer.figure.axes]
    assert rows == ["ground truth", "with", "without"]


def test_the_least_score_is_that_of_the_figure_too(runs: list[FakeRun]) -> None:
    viewer = show_predictions([fake.run for fake in runs])
    drawn = lambda: [len(ax.patches) for ax in viewer.figure.axes]  # noqa: E731
    assert drawn() == [1, 1, 1]  # as many as there are objects
    viewer.least_score = 0.1
    assert drawn() == [1, 2, 2]
    viewer.least_score = 0.5
    assert drawn() == [1, 1, 0]
    with pytest.raises(traitlets.TraitError):
        viewer.least_score = 2.0


def test_folders_of_one_name_are_told_apart(runs: list[FakeRun]) -> None:
    viewer = show_predictions([runs[0].run, runs[0].run])
    assert list(viewer.records) == ["tuned", "tuned (2)"]


def test_what_cannot_stand_side_by_side_is_refused(runs: list[FakeRun], tmp_path: Path) -> None:
    both = [fake.run for fake in runs]
    with pytest.raises(RunError, match="steps are of one run"):
        show_predictions(both, steps=[0])
    with pytest.raises(RunError, match="1 labels for 2 runs"):
        show_predictions(both, labels=["one"])
    predict(runs[1], tmp_path / "another.png", 20)
    with pytest.raises(RunError, match="different pictures"):
        show_predictions(both)
    with pytest.raises(RunError, match="has no predictions"):
        show_predictions([both[0], FakeRun(tmp_path / "third").run])
    with pytest.raises(RunError, match="has no config.yml"):
        show_predictions(both[0], files=[tmp_path / "red.png"])


def test_a_picture_that_is_gone_leaves_its_boxes(runs: list[FakeRun], file: Path) -> None:
    file.unlink()
    (shown,) = show_predictions(runs[0].run).pictures
    assert shown["source"] == "" and len(shown["kinds"]) == 3
