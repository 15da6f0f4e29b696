from pathlib import Path

import pytest

from rtdetr_nb.files.json_file import read_json


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"name": "caf\u00e9", "n": 1}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"name": "caf\u00e9", "n": 1}


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 1', b"\xff\xfe", b"null"])
def test_anything_else_is_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") == {}
    assert read_json(tmp_path / "missing.json") == {}
    assert read_json(tmp_path) == {}
