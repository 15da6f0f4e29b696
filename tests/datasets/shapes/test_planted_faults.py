"""Each planted fault is what it says, and the sound sample beside it has none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.datasets.checks.check_data import check_data
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.pictures.picture_file import read_picture
from rtdetr_nb.datasets.shapes.planted_faults import SWAPPED, plant_fault
from rtdetr_nb.errors import DatasetError, UserError
from tests.paths import DATA

SHAPES = DATA / "shapes"


def test_turned_photos_are_mended_and_told(tmp_path: Path) -> None:
    data = plant_fault("turned photos", tmp_path)
    report = check_data(data)
    notes = [note for note in report.findings if note.kind == "turned pictures"]
    assert report.verdict == "ok" and sum(note.count for note in notes) == 24
    assert not [n for n in check_data(SHAPES).findings if n.kind == "turned pictures"]
    sound, split = open_data(SHAPES).train, open_data(data).train
    with Image.open(split.image_path(0)) as lying:
        assert lying.size == sound.listed_size_wh(0)[::-1]  # type: ignore[index]
    upright = np.asarray(read_picture(split.image_path(0), split.listed_size_wh(0))).astype(int)
    original = np.asarray(read_picture(sound.image_path(0))).astype(int)
    # The same picture, but for being saved as JPEG once more.
    assert np.abs(upright - original).mean() < 3 < np.abs(upright[::-1] - original).mean()


def test_other_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="number their categories differently"):
        open_data(plant_fault("other numbers", tmp_path))


def test_fractions_stop_a_run(tmp_path: Path) -> None:
    report = check_data(plant_fault("fractions", tmp_path))
    assert report.verdict == "failed" and "fractions" in str(report.verdict.failures[0])


def test_swapped_labels_are_seen_by_eyes_alone(tmp_path: Path) -> None:
    data = plant_fault("swapped labels", tmp_path)
    assert check_data(data).verdict == "ok"
    sound, swapped = (open_data(each).train for each in (SHAPES, data))
    labels = {name: label for label, name in sound.classes.items()}
    one, other = (labels[name] for name in SWAPPED)
    assert (sound.labels != swapped.labels).sum() == np.isin(sound.labels, [one, other]).sum() > 0
    assert ((sound.labels == one) == (swapped.labels == other)).all()
    assert (open_data(data).val.labels == open_data(SHAPES).val.labels).all()


def test_a_copy_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    first = plant_fault("fractions", tmp_path)
    assert plant_fault("fractions", tmp_path) == first
    (tmp_path / "swapped_labels").mkdir()
    with pytest.raises(UserError, match="holds something else"):
        plant_fault("swapped labels", tmp_path)
    with pytest.raises(UserError, match="no fault 'noise'; expected one of turned photos"):
        plant_fault("noise", tmp_path)
