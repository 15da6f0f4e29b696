import json

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.progress import RunProgress
from rtdetr_nb.ui.predictions.gallery import Gallery
from rtdetr_nb.ui.predictions.viewer import show_predictions
from tests.ui.fake_run import FakeRun


@pytest.fixture
def fake(tmp_path) -> FakeRun:
    return FakeRun(tmp_path / "tuned")


def predict(fake: FakeRun, step: int, file: str = "nowhere.jpg", image_id: int = 7) -> None:
    picture = {
        "image_id": image_id,
        "file": file,
        "size": [600, 300],
        "true_boxes": [[60, 30, 120, 90], [0, 0, 20, 20]],
        "true_labels": ["star", "disc"],
        "boxes": [[60 + step, 30, 120, 90], [1, 1, 2, 2], [3, 3, 4, 4]],
        "labels": ["star", "ring", "disc"],
        "scores": [0.9, 0.5, 0.1],
    }
    fake.append({"event": "predictions", "step": step, "pictures": [picture, picture]})


def test_true_boxes_and_each_step_have_a_row(fake):
    predict(fake, 0)
    predict(fake, 10)
    figure = show_predictions(fake.run).figure
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert rows == ["ground truth", "step 0", "step 10"]
    assert len(figure.axes) == 6
    drawn = figure.axes[4]  # step 10, first picture; drawn at half the size
    assert [patch.get_xy() for patch in drawn.patches] == [(35, 15), (0.5, 0.5)]  # type: ignore[attr-defined]
    assert [text.get_text() for text in drawn.texts] == ["star 0.90", "ring 0.50"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["star", "disc"]


def test_the_picture_itself_is_drawn_and_a_lost_one_is_grey(fake, tmp_path):
    Image.new("RGB", (600, 300), (250, 0, 0)).save(tmp_path / "red.png")
    predict(fake, 0, str(tmp_path / "red.png"))
    figure = show_predictions(fake.run).figure
    drawn = figure.axes[0].images[0].get_array()
    assert drawn is not None and drawn.shape == (150, 300, 3)
    assert tuple(np.asarray(drawn)[0, 0]) == (250, 0, 0)
    predict(fake, 0)
    grey = show_predictions(fake.run).figure.axes[0].images[0].get_array()
    assert grey is not None and tuple(np.asarray(grey)[0, 0]) == (200, 200, 200)


def test_of_many_steps_the_first_the_last_and_some_between(fake):
    for step in range(0, 70, 10):
        predict(fake, step)
    assert show_predictions(fake.run).steps == [0, 20, 40, 60]
    assert show_predictions(fake.run, steps=[50, 10]).steps == [10, 50]


def test_a_step_without_predictions_is_refused(fake):
    predict(fake, 0)
    with pytest.raises(RunError, match="there are at: 0"):
        show_predictions(fake.run, steps=[5])


def test_update_draws_only_what_is_new(fake):
    gallery = Gallery(RunProgress(fake.run))
    assert gallery.png == b"" and "No predictions yet." in gallery.static_html()
    with pytest.raises(RunError, match="has no predictions"):
        _ = gallery.figure
    predict(fake, 0)
    assert gallery.update() and not gallery.update()
    first = gallery.png
    predict(fake, 10)
    assert gallery.update() and gallery.png != first
    assert "steps 0, 10" in gallery._note.value


def test_data_without_annotated_pictures_leave_the_gallery_empty(fake):
    for step in (0, 10):
        fake.append({"event": "predictions", "step": step, "pictures": []})
    gallery = Gallery(RunProgress(fake.run))
    assert not gallery.update() and gallery.steps == []
    assert "No predictions yet." in gallery.static_html()
    with pytest.raises(RunError, match="on annotated validation pictures"):
        _ = gallery.figure


def test_after_a_resume_with_other_data_only_its_pictures_are_shown(fake):
    predict(fake, 0, image_id=7)
    predict(fake, 10, image_id=7)
    gallery = Gallery(RunProgress(fake.run))
    before = gallery.png
    predict(fake, 10, image_id=3)
    assert gallery.update() and gallery.steps == [10] and gallery.png != before
    predict(fake, 20, image_id=3)
    assert gallery.update() and gallery.steps == [10, 20]
    assert len(gallery.figure.axes) == 6


def test_the_static_form_needs_no_kernel(fake):
    predict(fake, 0)
    bundle, _ = show_predictions(fake.run)._repr_mimebundle_()
    assert "data:image/png;base64," in bundle["text/html"]
    assert "predictions at step 0" in bundle["text/plain"]
    json.dumps(bundle)
