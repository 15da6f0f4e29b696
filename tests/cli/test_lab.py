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
from rtdetr_nb.files import checkout
from rtdetr_nb.lab.own_changes import INJECTED_TAG
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
    """No server, no program to look for, nobody is root, and copies below `tmp_path`."""
    server = Server()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(subprocess, "call", server)
    monkeypatch.setattr(cli_lab, "_program", lambda name, extra: name)
    return server


def _injected(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    (source,) = [c.source for c in cells if INJECTED_TAG in c.metadata.get("tags", [])]
    return source


def _values(notebook: Path) -> dict[str, object]:
    lines = ast.parse(_injected(notebook)).body
    pairs = [(line.targets[0], line.value) for line in lines if isinstance(line, ast.Assign)]
    return {name.id: ast.literal_eval(v) for name, v in pairs if isinstance(name, ast.Name)}


def test_lab_without_options_opens_copies_and_shows_the_whole_folder(
    server: Server, tmp_path: Path
) -> None:
    assert main(["lab", "--", "--no-browser"]) == 7
    page = f"--LabApp.default_url=/lab/tree/runs/lab/notebooks/{NOTEBOOKS[0]}"
    shown = f"--ServerApp.root_dir={tmp_path}"
    assert server.command == ["jupyter", "lab", shown, page, "--no-browser"]
    assert server.folder == tmp_path


def test_within_a_checkout_its_root_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(checkout, "checkout", lambda: tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks")
    assert checkout.working_root() == tmp_path
    monkeypatch.chdir(tmp_path.parent)
    assert checkout.working_root() == tmp_path.parent


def test_a_second_lab_keeps_what_the_user_changed_and_says_what_is_older(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lab"])
    copy = tmp_path / "runs" / "lab" / "notebooks" / NOTEBOOKS[1]
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells[-1].source = "mine = 1"
    nbformat.write(notebook, copy)
    capsys.readouterr()
    main(["lab"])
    assert "is kept as you changed it" not in capsys.readouterr().out  # it is of this version
    notebook.metadata["rtdetr_nb"]["source"] = "of an earlier version"
    nbformat.write(notebook, copy)
    main(["lab"])
    assert f"{NOTEBOOKS[1]} is kept as you changed it" in capsys.readouterr().out
    assert nbformat.read(copy, as_version=4).cells[-1].source == "mine = 1"


@pytest.mark.parametrize(
    "arguments", [["--allow-root"], ["--", "--allow-root"], ["--", "--ServerApp.allow_root=True"]]
)
def test_root_is_told_what_to_add_before_anything_starts(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "none"))
    assert main(["lab"]) == 2
    assert "make lab ARGS=--allow-root" in capsys.readouterr().err
    assert not hasattr(server, "command") and not list(tmp_path.iterdir())
    assert main(["lab", *arguments]) == 7
    assert server.command[-1] == arguments[-1]


def test_root_may_have_allowed_it_in_a_configuration_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    (tmp_path / "jupyter_server_config.py").write_text("c.ServerApp.allow_root = True")
    (tmp_path / "jupyter_lab_config.d").mkdir()
    assert main(["lab"]) == 7


def test_lab_opens_copies_with_the_options_filled_in(server: Server, tmp_path: Path) -> None:
    file = Path(shutil.copy(ROOT / "data" / "demo_backbone_mmdet.pth", tmp_path / "my own.pth"))
    config, output = "rtdetrv2_hgnetv2_x", tmp_path / "there"
    assert main(["lab", "--checkpoint", str(file), "-c", config, "--output", str(output)]) == 7
    folder = Path("runs", "lab", "my own")
    assert server.command[-1].endswith(f"=/lab/tree/runs/lab/my%20own/{NOTEBOOKS[0]}")
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == NOTEBOOKS
    assert _values(tmp_path / folder / NOTEBOOKS[0]) == {
        "checkpoint": str(file),
        "config": config,
        "data": str(ROOT / "data" / "shapes"),
        "output": str(output / Path(NOTEBOOKS[0]).stem),
    }
    for name in NOTEBOOKS:
        values = _values(tmp_path / folder / name)
        # Not every notebook is about one checkpoint.
        assert values.get("checkpoint", str(file)) == str(file)
        assert values["config"] == config
        assert values["output"] == str(output / Path(name).stem)


def test_lab_and_class_speak_chinese(server: Server, tmp_path: Path) -> None:
    main(["lab", "--language", "zh"])
    folder = tmp_path / "runs" / "lab" / "notebooks-zh"
    assert server.command[-1].endswith(f"=/lab/tree/runs/lab/notebooks-zh/{NOTEBOOKS[0]}")
    assert sorted(path.name for path in folder.iterdir()) == NOTEBOOKS
    assert Path(str(_values(folder / NOTEBOOKS[0])["checkpoint"])).is_file()
    assert "检查点" in (folder / NOTEBOOKS[1]).read_text(encoding="utf-8")
    main(["class", "--language", "zh"])
    assert server.command[:2] == ["voila", str(tmp_path / "runs" / "class-zh")]
    page = tmp_path / "runs" / "class-zh" / "05_how_loading_works.ipynb"
    assert "实验 1" in page.read_text(encoding="utf-8")


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
    folder = tmp_path / "runs" / "class"
    folder.mkdir(parents=True)
    (folder / "05_how_loading_works.ipynb").write_text("of an earlier version")
    assert main(["class", "--", "--port=1"]) == 7
    assert server.command[:2] == ["voila", str(folder)] and server.command[-1] == "--port=1"
    names = ["00_quickstart.ipynb", "05_how_loading_works.ipynb"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        text = (folder / name).read_text(encoding="utf-8")
        assert "Run the cells" not in text and "(01_open_checkpoint.ipynb)" not in text
        assert _injected(folder / name).endswith(
            "from rtdetr_nb.lab.visitor_folder import visitor_folder\n\n"
            "output = visitor_folder('RTDETR_NB_WRITE_BELOW')"
        )
    template = next(o.partition("=")[2] for o in server.command if o.startswith("--template="))
    first = Path(server.environment["JUPYTER_PATH"].split(os.pathsep)[0])
    assert (first / "voila" / "templates" / template / "index.html.j2").is_file()
