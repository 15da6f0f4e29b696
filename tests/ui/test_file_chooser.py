"""Choosing a file: typing, clicking, and what is said about a wrong path."""

import os
from pathlib import Path

import pytest

from rtdetr_nb.errors import CheckpointError
from rtdetr_nb.ui.file_chooser import CheckpointChooser, choose_checkpoint


@pytest.fixture
def folder(tmp_path: Path, whole_file: Path) -> Path:
    """Two readable files, one that is none, and one in a folder below."""
    (tmp_path / "old.pth").symlink_to(whole_file)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "page.pth").write_text("<!DOCTYPE html><html>not found</html>")
    (tmp_path / "notes.txt").write_text("no checkpoint")
    os.utime(tmp_path / "runs" / "page.pth", (2_000_000_000, 2_000_000_000))
    return tmp_path


def press_open(chooser: CheckpointChooser) -> None:
    chooser._button.click()


def test_the_newest_file_stands_in_the_box(folder: Path):
    chooser = choose_checkpoint(folder)
    assert [Path(file).name for file in chooser.files] == ["page.pth", "old.pth"]
    assert chooser.path == chooser.files[0]


def test_a_named_file_is_opened_without_a_click(folder: Path):
    chooser = choose_checkpoint(folder, folder / "old.pth")
    assert len(chooser.checkpoint.candidates) == 1


def test_a_click_in_the_list_opens_the_file_and_says_what_it_is(folder: Path):
    chooser = choose_checkpoint(folder)
    chooser._list.value = str(folder / "old.pth")
    assert chooser.path == str(folder / "old.pth")
    assert "HGNetv2-L" in chooser.status and "ok" in chooser.status


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.pth", "no such file"),
        ("runs/page.pth", "It is a web page"),
        ("", "No file is chosen"),
        ("a\0b", "cannot be used"),
        ("x" * 300, "cannot be"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_the_file_before_stays(
    folder: Path, name: str, words: str
):
    chooser = choose_checkpoint(folder, folder / "old.pth")
    opened = chooser.open_file()
    chooser.path = str(folder / name) if name else ""
    press_open(chooser)
    assert words in chooser.status and "failed" in chooser.status
    assert "Traceback" not in chooser.status
    assert chooser.checkpoint is opened
    with pytest.raises(CheckpointError, match=words):
        chooser.open_file()


def test_typing_completes(folder: Path):
    chooser = choose_checkpoint(folder)
    chooser.path = str(folder / "o")
    assert chooser._path_box.options == (str(folder / "old.pth"),)
    chooser.path = f"{folder}/"
    assert chooser._path_box.options == (f"{folder / 'runs'}/", str(folder / "old.pth"))


def test_the_home_of_a_user_who_is_not_there_is_a_sentence(folder: Path):
    chooser = choose_checkpoint(folder, folder / "old.pth")
    chooser.path = "~nobody-of-this-name/x"
    assert chooser._path_box.options == ()
    press_open(chooser)
    assert "~nobody-of-this-name/x" in chooser.status and "failed" in chooser.status
    with pytest.raises(CheckpointError, match="home"):
        choose_checkpoint("~nobody-of-this-name")


def test_an_empty_folder_is_no_error_and_a_missing_one_is(tmp_path: Path):
    chooser = choose_checkpoint(tmp_path)
    assert chooser.files == () and chooser.path == ""
    with pytest.raises(CheckpointError, match="no folder"):
        choose_checkpoint(tmp_path / "absent")


def test_without_its_kernel_the_path_and_the_status_remain(folder: Path):
    chooser = choose_checkpoint(folder, folder / "old.pth")
    before = chooser._repr_mimebundle_()
    assert before["text/plain"] == f"Checkpoint: {folder / 'old.pth'}"
    chooser.open_file()
    bundle = chooser._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "old.pth" in bundle["text/html"] and "HGNetv2-L" in bundle["text/html"]
    assert bundle["text/plain"].endswith(repr(chooser.checkpoint))
    chooser.path = "<b>.pth"
    assert "&lt;b&gt;.pth" in chooser._repr_mimebundle_()["text/html"]
