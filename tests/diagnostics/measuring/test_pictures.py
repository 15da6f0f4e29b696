"""Pictures of a data source, a folder or a list: the same ones each time."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from rtdetr_nb.diagnostics.input_format.generated_pictures import dead_leaves
from rtdetr_nb.diagnostics.measuring.pictures import at_usual_light, picture_paths, read_pictures
from rtdetr_nb.errors import DatasetError
from tests.diagnostics.input_format.corpus import ROOT

SHAPES = ROOT / "data" / "shapes"


class Split(list):
    def image_path(self, index: int) -> Path:
        return self[index]


class Source:
    train, val = Split(), Split(sorted((SHAPES / "images" / "val").iterdir()))


def test_validation_pictures_are_spread_evenly():
    paths = picture_paths(SHAPES, 4)
    names = sorted(path.name for path in (SHAPES / "images" / "val").iterdir())
    assert [path.name for path in paths] == [names[i] for i in (0, 10, 21, 31)]
    assert picture_paths(str(SHAPES), 4) == picture_paths(Source(), 4) == paths


def test_any_folder_and_any_list(tmp_path):
    deep = tmp_path / "b" / "c"
    deep.mkdir(parents=True)
    source = picture_paths(SHAPES, 2)
    for target in (deep / "2.JPG", tmp_path / "1.jpg"):
        shutil.copy(source[0], target)
    (tmp_path / "notes.txt").write_text("no picture")
    assert picture_paths(tmp_path, 9) == [tmp_path / "1.jpg", deep / "2.JPG"]
    assert picture_paths([str(p) for p in source], 1) == source[:1]


@pytest.mark.parametrize("data", ["nowhere", [], 3])
def test_without_pictures_it_says_so(data, tmp_path):
    with pytest.raises(DatasetError, match="There is no folder|no pictures"):
        picture_paths(tmp_path / data if data == "nowhere" else data, 4)


def test_an_empty_folder_holds_none(tmp_path):
    with pytest.raises(DatasetError, match="no pictures"):
        picture_paths(tmp_path, 4)


def test_grey_and_transparent_pictures_become_rgb_and_broken_ones_are_named(tmp_path):
    Image.new("L", (9, 5), 128).save(tmp_path / "a.png")
    Image.new("RGBA", (9, 5), (255, 0, 0, 255)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"\x89PNG broken")
    pictures, notes = read_pictures(picture_paths(tmp_path, 9), 32)
    assert pictures.shape == (2, 3, 32, 32)
    assert pictures[0].unique().tolist() == pytest.approx([128 / 255])
    assert pictures[1, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert len(notes) == 1 and "c.png could not be read" in notes[0]
    with pytest.raises(DatasetError, match="None of the 1 pictures"):
        read_pictures([tmp_path / "c.png"], 32)


def test_usual_light():
    usual = at_usual_light(torch.rand(3, 3, 16, 16) * 0.05)
    std, mean = torch.std_mean(usual, dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.full((3,), 0.45))
    torch.testing.assert_close(std, torch.full((3,), 0.25))


def test_generated_pictures_are_the_same_each_time_and_have_edges_of_all_sizes():
    first = dead_leaves(2, 64)
    dead_leaves.cache_clear()
    assert torch.equal(first, dead_leaves(2, 64))
    assert not torch.equal(first, dead_leaves(2, 64, seed=1))
    assert first.min() >= 0 and first.max() <= 1
    # Natural pictures: neighbours are alike, and far pixels hardly.
    grey = first.mean(dim=1) - first.mean()
    near = (grey[:, :, 1:] * grey[:, :, :-1]).mean() / grey.square().mean()
    far = (grey[:, :, 32:] * grey[:, :, :-32]).mean() / grey.square().mean()
    assert near > 0.85 and far < 0.5
