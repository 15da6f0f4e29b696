import os
from pathlib import Path

import pytest

from rtdetr_nb.files.atomic_file import write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("one", "two"):
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text))
        assert path.read_text() == text
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failure_keeps_the_previous_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, fail)
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_file_has_ordinary_permissions(tmp_path: Path) -> None:
    path, ordinary = tmp_path / "a.txt", tmp_path / "b.txt"
    ordinary.write_text("")
    write_atomically(path, lambda temporary: temporary.write_text("x"))
    assert path.stat().st_mode == ordinary.stat().st_mode
