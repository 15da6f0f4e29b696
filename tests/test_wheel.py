"""A wheel in an empty folder: the demo and the notebooks work without a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.paths import ROOT

pytestmark = pytest.mark.slow

_SOURCES = ("rtdetr_nb", "notebooks", "data", "pyproject.toml", "setup.py", "README.md", "LICENSE")


class Installed:
    """The package from a wheel, whose dependencies are those of the environment of the tests."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(self, *arguments: str) -> str:
        """What `python ARGUMENTS` prints in the empty folder."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self) -> dict[str, tuple[int, int]]:
        """Size and time of each file of the package, but for compiled ones."""
        files = [file for file in self.site.rglob("*") if file.suffix != ".pyc"]
        return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build a wheel from copies of the sources, and unpack it as pip does."""
    pytest.importorskip("setuptools", minversion="77")
    root = tmp_path_factory.mktemp("wheel")
    (root / "source").mkdir()
    for name in _SOURCES:
        source, target = ROOT / name, root / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(root)]
    subprocess.run([*pip, *build, str(root / "source")], check=True)
    (wheel,) = root.glob("rtdetr_nb-*.whl")
    install = ["install", "--no-deps", "--no-compile", "--target", str(root / "site")]
    subprocess.run([*pip, *install, str(wheel)], check=True)
    shutil.rmtree(root / "source")
    (root / "empty").mkdir()
    return Installed(root / "site", root / "empty")


def test_the_wheel_is_what_runs_and_has_all_packages(installed: Installed) -> None:
    code = "import rtdetr_nb as rt; print(rt.__file__); [getattr(rt, n) for n in rt.__all__]"
    assert Path(installed.run("-c", code).strip()).is_relative_to(installed.site)
    tracked = {path.relative_to(ROOT) for path in (ROOT / "rtdetr_nb").rglob("*.py")}
    assert not [path for path in tracked if not (installed.site / path).is_file()]


def test_the_demo_runs_in_an_empty_folder(installed: Installed) -> None:
    installed.run("-m", "rtdetr_nb", "demo", "--steps", "1")
    assert (installed.folder / "runs" / "demo" / "report.html").is_file()


def test_lab_opens_copies_in_the_folder_and_leaves_the_package_alone(installed: Installed) -> None:
    before = installed.files()
    # JupyterLab tells its version and ends instead of serving.
    installed.run("-m", "rtdetr_nb", "lab", "--allow-root", "--", "--version")
    copies = sorted((installed.folder / "runs" / "lab" / "notebooks").glob("*.ipynb"))
    assert [copy.name for copy in copies] == sorted(
        path.name for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    (copy,) = [copy for copy in copies if copy.stem == "02_compare_with_model"]
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import rtdetr_nb"))
    checks = f"assert rtdetr_nb.__file__.startswith({str(installed.site)!r})"
    checks += "\nassert diff.counts['matched'] == 400"
    notebook.cells.append(nbformat.v4.new_code_cell(checks))
    client = NotebookClient(notebook, resources={"metadata": {"path": str(copy.parent)}})
    client.execute(env=installed.environment)
    assert installed.files() == before
