import ast
import json
from pathlib import Path

import nbformat
import pytest

from rtdetr_nb.errors import UserError
from rtdetr_nb.notebook_copies import INJECTED_TAG, copy_notebooks

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def _run_parameters(path: Path) -> dict[str, object]:
    """Variables after the parameter cells of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    tagged = [
        cell.source
        for cell in cells
        if {"parameters", INJECTED_TAG} & set(cell.metadata.get("tags", []))
    ]
    values: dict[str, object] = {}
    for line in ast.parse("\n".join(tagged)).body:
        assert isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
        values[line.targets[0].id] = ast.literal_eval(line.value)
    return values


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_copy_has_the_parameters_filled_in(notebook: Path, tmp_path: Path) -> None:
    (copy,) = copy_notebooks([notebook], tmp_path, {"checkpoint": "/a 'b'.pth", "unknown": 1})
    nbformat.validate(nbformat.read(copy, as_version=4))
    values = _run_parameters(copy)
    assert values.pop("checkpoint") == "/a 'b'.pth"
    defaults = _run_parameters(notebook)
    defaults.pop("checkpoint")
    assert values == defaults


def test_a_second_copy_keeps_what_the_user_wrote(tmp_path: Path) -> None:
    (copy,) = copy_notebooks(NOTEBOOKS[:1], tmp_path, {"checkpoint": "first.pth"})
    content = json.loads(copy.read_text(encoding="utf-8"))
    content["cells"][-1]["source"] = ["my own line"]
    copy.write_text(json.dumps(content), encoding="utf-8")
    copy_notebooks(NOTEBOOKS[:1], tmp_path, {"checkpoint": "second.pth"})
    cells = nbformat.read(copy, as_version=4).cells
    assert cells[-1].source == "my own line"
    assert sum(INJECTED_TAG in cell.metadata.get("tags", []) for cell in cells) == 1
    assert _run_parameters(copy)["checkpoint"] == "second.pth"


def test_a_damaged_copy_is_not_replaced(tmp_path: Path) -> None:
    damaged = tmp_path / NOTEBOOKS[0].name
    damaged.write_text("{")
    with pytest.raises(UserError, match="no notebook that can be read"):
        copy_notebooks(NOTEBOOKS[:1], tmp_path, {})
    assert damaged.read_text() == "{"
