"""A checkout whose loading differs from the known one is told apart by its files."""

from hashlib import sha256
from pathlib import Path

import pytest

from rtdetr_nb.official import loading_rules
from rtdetr_nb.official.command import OfficialCheckout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfficialCheckout:
    """A folder with files of these names, whose texts are the known ones."""
    for name in loading_rules._RULES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(f"# {name}\n".encode())
        known = sha256((tmp_path / name).read_bytes()).hexdigest()
        monkeypatch.setitem(loading_rules._RULES, name, known)
    return OfficialCheckout(tmp_path)


def test_the_same_files_are_the_known_rules(checkout):
    assert checkout.changed_rules == () and checkout.known_commit == "068dfde"
    assert "as commit 068dfde does" in str(checkout) and "068dfde" in checkout._repr_html_()


def test_ends_of_lines_do_not_count(checkout):
    for name in loading_rules._RULES:
        (checkout.folder / name).write_bytes(f"# {name}\r\n".encode())
    assert checkout.changed_rules == ()


def test_another_version_is_named(checkout):
    (checkout.folder / "src/optim/ema.py").write_text("# changed\n")
    assert checkout.changed_rules == ("src/optim/ema.py",)
    assert "here src/optim/ema.py is another version" in str(checkout)


def test_files_that_are_missing_are_named(tmp_path):
    assert OfficialCheckout(tmp_path).changed_rules == tuple(loading_rules._RULES)
    assert "are another version" in str(OfficialCheckout(tmp_path))
