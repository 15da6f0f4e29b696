"""Where a tuning file may be written."""

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.tuning.output_path import SUFFIXES, check_output_path
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.errors import TuningError


def test_an_existing_file_is_only_replaced_when_told(backbone_diff, tmp_path):
    path = tmp_path / "tuning.pth"
    path.write_text("mine")
    selection = backbone_diff.select("stem")
    with pytest.raises(TuningError, match="exists"):
        write_tuning_file(selection, path)
    assert path.read_text() == "mine"
    assert write_tuning_file(selection, path, overwrite=True).bit_equal


@pytest.mark.parametrize("place", ["missing/t.pth", "."])
def test_a_place_that_cannot_be_written(backbone_diff, tmp_path, place):
    with pytest.raises(TuningError, match=r"folder"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / place)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_new_file_may_be_written(tmp_path, suffix):
    assert check_output_path(tmp_path / f"t{suffix}", (), overwrite=False).suffix == suffix


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("t.txt", "ends in .txt; expected one of .pth"),
        ("t", "ends in nothing"),
        ("x" * 300 + ".pth", "name too long"),
        ("a\0b.pth", "null"),
        ("file.pth/t.pth", "there is no folder"),
    ],
)
def test_names_that_nothing_could_read_are_refused(tmp_path, name, words):
    (tmp_path / "file.pth").write_text("mine")
    with pytest.raises(TuningError, match=f"(?i){words}"):
        check_output_path(tmp_path / name, (), overwrite=True)


def test_a_source_is_never_replaced(backbone_file, tmp_path):
    source = open_checkpoint(backbone_file)
    link = tmp_path / "link.pth"
    link.symlink_to(backbone_file)
    for path in (backbone_file, link):
        with pytest.raises(TuningError, match="is what the tensors come from"):
            check_output_path(path, [source], overwrite=True)


def test_a_link_that_leads_nowhere_is_a_file(tmp_path):
    link = tmp_path / "link.pth"
    link.symlink_to(tmp_path / "absent.pth")
    with pytest.raises(TuningError, match="exists"):
        check_output_path(link, (), overwrite=False)
    assert check_output_path(link, (), overwrite=True) == link
