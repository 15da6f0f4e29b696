"""Copies of the notebooks: their parameters, and what becomes of earlier copies."""

import ast
import json
from pathlib import Path

import nbformat
import pytest

from rtdetr_nb.errors import UserError
from rtdetr_nb.lab.notebook_copies import INJECTED_TAG, copy_notebooks
from tests.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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
    (copy,) = copy_notebooks([notebook], tmp_path, {"checkpoint": "/a 'b'.pth"})
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


def test_a_copy_can_be_made_afresh(tmp_path: Path) -> None:
    (copy,) = copy_notebooks(NOTEBOOKS[:1], tmp_path, {})
    copy.write_text("{")
    copy_notebooks(NOTEBOOKS[:1], tmp_path, {}, keep=False)
    assert _run_parameters(copy) == _run_parameters(NOTEBOOKS[0])


def test_each_notebook_writes_to_a_folder_of_its_own(tmp_path: Path) -> None:
    copies = copy_notebooks(NOTEBOOKS, tmp_path, {}, output=tmp_path / "here")
    outputs = [_run_parameters(copy)["output"] for copy in copies]
    assert outputs == [str(tmp_path / "here" / path.stem) for path in NOTEBOOKS]
    assert len({_run_parameters(path)["output"] for path in NOTEBOOKS}) == len(NOTEBOOKS)


def test_code_runs_after_the_values(tmp_path: Path) -> None:
    code = "from pathlib import Path\n\noutput = Path(data).name"
    for copy in copy_notebooks(NOTEBOOKS, tmp_path, {"data": "/their/pictures"}, code=code):
        nbformat.validate(nbformat.read(copy, as_version=4))
        cells = nbformat.read(copy, as_version=4).cells
        (injected,) = [c for c in cells if INJECTED_TAG in c.metadata.get("tags", [])]
        if "data = " in injected.source:
            values: dict[str, object] = {}
            exec(injected.source, values)
            assert values["output"] == "pictures"


def test_a_parameter_that_only_some_notebooks_have_changes_those(tmp_path: Path) -> None:
    for copy in copy_notebooks(NOTEBOOKS, tmp_path, {"data": "/mine"}):
        assert _run_parameters(copy).get("data", "/mine") == "/mine"


def test_a_parameter_that_no_notebook_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No notebook has a parameter 'chekpoint'"):
        copy_notebooks(NOTEBOOKS, tmp_path, {"chekpoint": "a.pth"})
    assert not list(tmp_path.iterdir())


def test_a_damaged_copy_is_not_replaced(tmp_path: Path) -> None:
    damaged = tmp_path / NOTEBOOKS[0].name
    damaged.write_text("{")
    with pytest.raises(UserError, match="cannot be read as a notebook"):
        copy_notebooks(NOTEBOOKS[:1], tmp_path, {})
    assert damaged.read_text() == "{"
