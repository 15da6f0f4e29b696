"""What a run's last checkpoint detects on pictures that are given by path."""

from pathlib import Path

import numpy as np
import pytest

import rtdetr_nb as rt
from rtdetr_nb.runs.records import events
from tests.paths import ROOT

SHAPES = ROOT / "data" / "shapes"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> rt.Run:
    config = rt.quick_run_config(SHAPES, image_size=96, batch_size=2)
    config = config.override(["preview_freq=2", "eval_pictures=2"])
    run = rt.start_run(config, output_dir=tmp_path_factory.mktemp("run") / "tuned", max_steps=2)
    assert run.wait() == "finished", run.error
    return run


@pytest.mark.slow
def test_the_pictures_of_the_record_have_its_detections(run: rt.Run) -> None:
    """The same weights, pictures and transforms, by another way."""
    recorded = events(run.records, "predictions")[-1]
    files = [picture["file"] for picture in recorded["pictures"]]
    viewer = rt.show_predictions(run, files=files)
    (seen,) = viewer.records.values()
    assert viewer.steps == [2] and viewer.least_score == 0.3
    for now, then in zip(seen["pictures"], recorded["pictures"], strict=True):
        assert now["file"] == then["file"] and now["size"] == then["size"]
        assert now["labels"][:10] == then["labels"][:10]
        assert np.allclose(now["scores"][:10], then["scores"][:10], atol=1e-3)
        assert np.allclose(now["boxes"][:10], then["boxes"][:10], atol=0.6)  # pixels, rounded
    assert [ax.get_ylabel() for ax in viewer.figure.axes if ax.get_ylabel()] == ["tuned"]


@pytest.mark.slow
def test_a_folder_and_what_is_no_picture(run: rt.Run, tmp_path: Path) -> None:
    viewer = rt.show_predictions(run, files=SHAPES / "images" / "val", labels=["mine"])
    assert len(viewer.pictures) > 4 and [k["label"] for k in viewer.pictures[0]["kinds"]] == [
        "mine"
    ]
    everything = rt.show_predictions(run, files=SHAPES / "images" / "val", least_score=0.0)
    assert everything.least_score == 0.0
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(rt.UserError, match=r"broken\.jpg"):
        rt.show_predictions(run, files=[tmp_path / "broken.jpg"])
