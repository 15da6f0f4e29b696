import copy
import re
from pathlib import Path

import nbformat
import pytest

from tests.chinese_notebooks import (
    CHINESE,
    chinese_of,
    english_notebooks,
    fallen_behind,
    in_step,
    mark_as_translated,
    read_notebook,
    text_of,
)

_HAN = re.compile(r"[\u4e00-\u9fff]")


def test_each_notebook_has_a_chinese_one() -> None:
    names = [path.name for path in english_notebooks()]
    assert names and sorted(path.name for path in CHINESE.glob("*.ipynb")) == names


@pytest.mark.parametrize("english", english_notebooks(), ids=lambda path: path.stem)
def test_code_is_the_same_and_no_text_has_fallen_behind(english: Path) -> None:
    chinese = read_notebook(chinese_of(english))
    nbformat.validate(nbformat.from_dict(chinese))
    assert fallen_behind(english) == [], "translate these cells, then `make chinese` marks them"
    assert chinese == in_step(english), "`make chinese` copies cells and code"
    for cell in chinese["cells"]:
        assert cell["cell_type"] == "code" or _HAN.search(text_of(cell)), cell["id"]


@pytest.mark.parametrize("english", english_notebooks(), ids=lambda path: path.stem)
def test_links_and_code_in_the_text_are_those_of_the_english_text(english: Path) -> None:
    links = re.compile(r"\]\(([^)]+)\)")
    for one, other in zip(
        read_notebook(english)["cells"], read_notebook(chinese_of(english))["cells"], strict=True
    ):
        assert sorted(links.findall(text_of(one))) == sorted(links.findall(text_of(other)))


def test_a_changed_text_and_a_new_cell_fall_behind(tmp_path: Path, monkeypatch) -> None:
    english = english_notebooks()[0]
    monkeypatch.setattr("tests.chinese_notebooks.CHINESE", tmp_path)
    changed = read_notebook(english)
    texts = [cell for cell in changed["cells"] if cell["cell_type"] == "markdown"]
    (tmp_path / english.name).write_text((CHINESE / english.name).read_text(encoding="utf-8"))
    other = tmp_path / "english" / english.name
    other.parent.mkdir()
    new = copy.deepcopy(texts[1]) | {"id": "new-text", "source": ["A new text."]}
    texts[0]["source"] = ["# Another title"]
    changed["cells"].append(new)
    other.write_text(nbformat.writes(nbformat.from_dict(changed)), encoding="utf-8")
    assert fallen_behind(other) == [
        f"{english.name}, cell {texts[0]['id']}: # Another title",
        f"{english.name}, cell new-text: A new text.",
    ]
    followed = in_step(other)
    assert text_of(followed["cells"][-1]) == "A new text."
    mark_as_translated(other, followed)
    (tmp_path / english.name).write_text(nbformat.writes(nbformat.from_dict(followed)))
    assert fallen_behind(other) == []
