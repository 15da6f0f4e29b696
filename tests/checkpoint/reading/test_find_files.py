"""Checkpoint files below a folder, and the completion of paths."""

import os

import pytest

from rtdetr_nb.checkpoint.reading import find_files
from rtdetr_nb.checkpoint.reading.find_files import complete_path, find_checkpoint_files
from rtdetr_nb.errors import CheckpointError


@pytest.fixture
def folder(tmp_path):
    for age, name in enumerate(["b.pth", "deep/a.safetensors", ".hidden/c.pth", "d.txt"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * (age + 1))
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "broken.pt").symlink_to(tmp_path / "absent")
    return tmp_path


def test_the_newest_first_and_nothing_hidden(folder):
    found = find_checkpoint_files(folder)
    assert [file.path.name for file in found] == ["b.pth", "a.safetensors"]
    assert [file.nbytes for file in found] == [1, 2]


def test_the_newest_are_kept_where_there_are_too_many(folder, monkeypatch):
    monkeypatch.setattr(find_files, "_MOST", 1)
    assert [file.path.name for file in find_checkpoint_files(folder)] == ["b.pth"]
    os.utime(folder / "deep" / "a.safetensors", (2000, 2000))
    assert [file.path.name for file in find_checkpoint_files(folder)] == ["a.safetensors"]


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="no folder"):
        find_checkpoint_files(tmp_path / "absent")


def test_completion(folder):
    (folder / "broken.pt").unlink()
    assert complete_path(f"{folder}/") == [f"{folder}/deep/", f"{folder}/b.pth"]
    assert complete_path(f"{folder}/de") == [f"{folder}/deep/"]
    assert complete_path(f"{folder}/absent/x") == []
    assert complete_path("a\0b") == []
    assert f"{folder}/.hidden/" in complete_path(f"{folder}/.h")
