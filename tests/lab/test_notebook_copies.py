"""Copies of the notebooks: their parameters, and what becomes of earlier copies."""

import ast
import json
import shutil
from pathlib import Path

import nbformat
import pytest

from rtdetr_nb.errors import UserError
from rtdetr_nb.lab.excerpt import NOTEBOOK_ONLY
from rtdetr_nb.lab.notebook_copies import copy_notebooks, outdated_copies
from rtdetr_nb.lab.own_changes import INJECTED_TAG
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
    (copy,) = copy_notebooks([notebook], tmp_path, {"config": "/a 'b'.yml"})
    nbformat.validate(nbformat.read(copy, as_version=4))
    values = _run_parameters(copy)
    assert values.pop("config") == "/a 'b'.yml"
    defaults = _run_parameters(notebook)
    defaults.pop("config")
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
    with pytest.raises(UserError, match="is not a notebook"):
        copy_notebooks(NOTEBOOKS[:1], tmp_path, {})
    assert damaged.read_text() == "{"


def test_a_copy_that_nobody_changed_is_renewed_with_its_notebook(tmp_path: Path) -> None:
    source = Path(shutil.copy(NOTEBOOKS[0], tmp_path))
    (copy,) = copy_notebooks([source], tmp_path / "copies", {})
    content = json.loads(copy.read_text(encoding="utf-8"))
    content["cells"][1]["outputs"] = [{"name": "stdout", "output_type": "stream", "text": "run"}]
    copy.write_text(json.dumps(content), encoding="utf-8")
    copy_notebooks([source], tmp_path / "copies", {})
    assert nbformat.read(copy, as_version=4).cells[1].outputs, "outputs of the same version stay"
    assert outdated_copies([copy], [source]) == []

    source.write_text(source.read_text(encoding="utf-8").replace("Quickstart", "Newer"))
    assert outdated_copies([copy], [source]) == [copy]
    copy_notebooks([source], tmp_path / "copies", {})
    assert nbformat.read(copy, as_version=4).cells[0].source.startswith("# Newer")
    assert outdated_copies([copy], [source]) == []


def test_links_to_notebooks_that_are_not_copied_become_text(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_markdown_cell("See [one](one.ipynb), [two](two.ipynb), [b](c.md)."),
        nbformat.v4.new_markdown_cell("Run the cells.", metadata={"tags": [NOTEBOOK_ONLY]}),
    ]
    source = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source)
    (copy,) = copy_notebooks([source], tmp_path / "all", {})
    texts = [cell.source for cell in nbformat.read(copy, as_version=4).cells[-2:]]
    assert texts == ["See [one](one.ipynb), two, [b](c.md).", "Run the cells."]
    (copy,) = copy_notebooks([source], tmp_path / "class", {}, leave_out=NOTEBOOK_ONLY)
    assert "Run the cells." not in copy.read_text()
