from pathlib import Path

import pytest

from rtdetr_nb.errors import DatasetError, UserError
from rtdetr_nb.files.pasted_path import pasted_path


@pytest.mark.parametrize(
    "pasted",
    [
        "{}", " {} \n", '"{}"', "'{}'", "\u201c{}\u201d", "' {} '", "file://{}",
        "file://localhost{}", "file:{}", "'file://{}'",
    ],
)  # fmt: skip
def test_what_is_pasted_is_the_path_that_is_meant(pasted: str, tmp_path: Path) -> None:
    folder = tmp_path / "my set #1"
    folder.mkdir()
    assert pasted_path(pasted.format(folder)) == folder


def test_blanks_of_a_terminal_and_of_an_address(tmp_path: Path) -> None:
    folder = tmp_path / "my set"
    folder.mkdir()
    assert pasted_path(str(folder).replace(" ", "\\ ")) == folder
    assert pasted_path(folder.as_uri()) == folder


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pasted_path("~/data") == pasted_path(Path("~/data")) == tmp_path / "data"
    with pytest.raises(UserError, match="no path ~nobody-of-that-name"):
        pasted_path("~nobody-of-that-name/data")


def test_a_file_with_quotes_in_its_name_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("'odd'").touch()
    assert pasted_path("'odd'") == Path("'odd'")
    assert pasted_path("'even'") == Path("even")


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a.pth", "http:/example.org/a.pth", "s3://bucket/data", "hf://a/b"],
)
def test_an_address_is_refused_in_a_sentence(address: str) -> None:
    with pytest.raises(DatasetError, match="Nothing is downloaded here: fetch it, then give"):
        pasted_path(address, DatasetError)


@pytest.mark.parametrize("nothing", ["", "  ", '""', "a\0b"])
def test_what_is_no_path_is_refused(nothing: str) -> None:
    with pytest.raises(UserError):
        pasted_path(nothing)


def test_a_drive_is_no_address() -> None:
    assert pasted_path("C:/data") == Path("C:/data")
