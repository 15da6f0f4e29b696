import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rtdetr_nb.files.atomic_file import share_atomically, write_atomically


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


def test_a_shared_file_is_one_file_until_either_is_written(tmp_path: Path) -> None:
    best, last = tmp_path / "best", tmp_path / "last"
    best.write_text("new")
    last.write_text("old")
    assert share_atomically(best, last)
    assert last.samefile(best) and last.read_text() == "new"
    write_atomically(last, lambda temporary: temporary.write_text("newer"))
    assert best.read_text() == "new" and last.read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == ["best", "last"]


def test_where_no_link_can_be_made_the_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    best, last = tmp_path / "best", tmp_path / "last"
    best.write_text("new")
    last.write_text("old")
    monkeypatch.setattr(os, "link", link)
    assert not share_atomically(best, last)
    assert last.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["best", "last"]


def test_the_file_has_ordinary_permissions(tmp_path: Path) -> None:
    path, ordinary = tmp_path / "a.txt", tmp_path / "b.txt"
    ordinary.write_text("")
    write_atomically(path, lambda temporary: temporary.write_text("x"))
    assert path.stat().st_mode == ordinary.stat().st_mode


def _failing(number: int, on: Callable[[int], bool]) -> Callable[[int], None]:
    """`os.fsync` on a file system that fails for some handles."""
    right = os.fsync

    def fsync(handle: int) -> None:
        if on(handle):
            raise OSError(number, os.strerror(number))
        right(handle)

    return fsync


def _is_folder(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)


def _chmod_that_fails(number: int) -> Callable[..., None]:
    def chmod(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return chmod


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EACCES])
@pytest.mark.parametrize("missing", ["flushing files", "flushing folders", "permissions"])
def test_a_file_system_that_lacks_an_operation_gets_the_whole_file(
    missing: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "permissions":
        monkeypatch.setattr(os, "chmod", _chmod_that_fails(number))
    else:
        folders = missing == "flushing folders"
        monkeypatch.setattr(os, "fsync", _failing(number, lambda h: _is_folder(h) == folders))
    path = tmp_path / "a.txt"
    for text in ("one", "two"):
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text))
    assert path.read_text() == "two"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("failing", ["flush", "permissions"])
def test_a_disk_that_fails_keeps_the_previous_file(
    failing: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    if failing == "flush":
        monkeypatch.setattr(os, "fsync", _failing(number, lambda handle: True))
    else:
        monkeypatch.setattr(os, "chmod", _chmod_that_fails(number))
    with pytest.raises(OSError) as error:
        write_atomically(path, lambda temporary: temporary.write_text("two"))
    assert error.value.errno == number
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]
