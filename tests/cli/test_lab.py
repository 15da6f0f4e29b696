"""What `rtdetr-nb lab` and `rtdetr-nb class` hand to Jupyter; the servers themselves do not run."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from rtdetr_nb.cli import lab as cli_lab
from rtdetr_nb.cli.main import main
from rtdetr_nb.lab.notebook_copies import INJECTED_TAG
from tests.paths import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


class Server:
    """Takes the place of `subprocess.call` and keeps what it was called with."""

    command: list[str]
    folder: Path
    environment: dict[str, str]

    def __call__(self, command: list[str], cwd: Path, env: dict[str, str] | None = None) -> int:
        self.command, self.folder, self.environment = command, cwd, env or dict(os.environ)
        return 7


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """No server, no program to look for, and copies below `tmp_path`."""
    server = Server()
    monkeypatch.setattr(subprocess, "call", server)
    monkeypatch.setattr(cli_lab, "_program", lambda name, extra: name)
    monkeypatch.setattr(cli_lab, "CHECKOUT", tmp_path)
    monkeypatch.setattr(cli_lab, "CLASS_FOLDER", tmp_path / "class")
    return server


def _injected(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    (source,) = [c.source for c in cells if INJECTED_TAG in c.metadata.get("tags", [])]
    return source


def _values(notebook: Path) -> dict[str, object]:
    lines = ast.parse(_injected(notebook)).body
    pairs = [(line.targets[0], line.value) for line in lines if isinstance(line, ast.Assign)]
    return {name.id: ast.literal_eval(v) for name, v in pairs if isinstance(name, ast.Name)}


def test_lab_without_options_opens_the_notebooks_themselves(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_lab, "CHECKOUT", ROOT)
    assert main(["lab", "--", "--no-browser"]) == 7
    assert server.command == ["jupyter", "lab", f"notebooks/{NOTEBOOKS[0]}", "--no-browser"]
    assert server.folder == ROOT


def test_lab_opens_copies_with_the_options_filled_in(server: Server, tmp_path: Path) -> None:
    file = Path(shutil.copy(ROOT / "data" / "demo_backbone_mmdet.pth", tmp_path / "mine.pth"))
    config, output = "rtdetrv2_hgnetv2_x", tmp_path / "there"
    assert main(["lab", "--checkpoint", str(file), "-c", config, "--output", str(output)]) == 7
    folder = Path("runs", "lab", "mine")
    assert server.command == ["jupyter", "lab", str(folder / NOTEBOOKS[0])]
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == NOTEBOOKS
    assert _values(tmp_path / folder / NOTEBOOKS[0]) == {
        "checkpoint": str(file),
        "config": config,
        "data": str(ROOT / "data" / "shapes"),
        "output": str(output / Path(NOTEBOOKS[0]).stem),
    }
    for name in NOTEBOOKS:
        values = _values(tmp_path / folder / name)
        assert values["checkpoint"] == str(file) and values["config"] == config
        assert values["output"] == str(output / Path(name).stem)


def test_what_is_not_given_is_filled_in_by_paths_that_hold_for_a_copy(
    server: Server, tmp_path: Path
) -> None:
    main(["lab", "-c", "rtdetrv2_hgnetv2_l"])
    folder = tmp_path / "runs" / "lab" / "notebooks"
    values = _values(folder / NOTEBOOKS[0])
    assert Path(str(values["checkpoint"])).is_file() and Path(str(values["data"])).is_dir()
    assert values["output"] == str(folder / "output" / Path(NOTEBOOKS[0]).stem)


@pytest.mark.parametrize("option", ["--checkpoint", "--data"])
def test_lab_refuses_a_path_that_is_not_there(
    server: Server, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["lab", option, "nowhere"]) == 2
    assert f"Give {option} a path that exists." in capsys.readouterr().err
    assert not hasattr(server, "command")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--checkpoint", str(ROOT / "README.md")], "It is a text file, not a checkpoint"),
        (["--data", str(ROOT / "docs")], "annotations"),
        (["-c", "rtdetrv2_hgnetv2_m"], "There is no configuration 'rtdetrv2_hgnetv2_m'"),
    ],
)
def test_lab_refuses_before_it_opens_what_no_notebook_could_use(
    server: Server, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["lab", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not hasattr(server, "command")


def test_class_serves_fresh_copies_of_two_notebooks(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "05_how_loading_works.ipynb").write_text("of an earlier version")
    assert main(["class", "--", "--port=1"]) == 7
    assert server.command[:2] == ["voila", str(folder)] and server.command[-1] == "--port=1"
    names = ["00_quickstart.ipynb", "05_how_loading_works.ipynb"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert _injected(folder / name).endswith(
            "from rtdetr_nb.lab.visitor_folder import visitor_folder\n\n"
            "output = visitor_folder('RTDETR_NB_WRITE_BELOW')"
        )
    template = next(o.partition("=")[2] for o in server.command if o.startswith("--template="))
    first = Path(server.environment["JUPYTER_PATH"].split(os.pathsep)[0])
    assert (first / "voila" / "templates" / template / "index.html.j2").is_file()
