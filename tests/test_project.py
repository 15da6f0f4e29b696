"""The files around the package say the same as the package."""

import ast
import importlib
import re
import sys

import pytest

import rtdetr_nb
from rtdetr_nb.config.yaml_text import read_yaml
from tests.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {_name(name): version for name, version in pairs}


def test_conda_environment_installs_what_pyproject_names() -> None:
    environment = read_yaml((ROOT / "environment.yml").read_text())
    assert isinstance(environment, dict)
    *conda, pip = environment["dependencies"]
    assert [entry.split("=")[0] for entry in conda] == ["python", "pip"]
    constraints, editable = pip["pip"]
    assert constraints == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", editable)
    assert extras
    project = _project()
    assert set(extras.group(1).split(",")) <= set(project["optional-dependencies"])  # type: ignore[arg-type]
    assert "notebook" in extras.group(1)


def test_every_requirement_is_pinned_for_ci_within_its_range() -> None:
    from packaging.requirements import Requirement

    project = _project()
    requirements = [*project["dependencies"]]  # type: ignore[misc]
    for extra in project["optional-dependencies"].values():  # type: ignore[attr-defined]
        requirements += extra
    pinned = _constraints()
    for text in requirements:
        requirement = Requirement(text)
        assert _name(requirement.name) in pinned, f"{requirement.name} is not in constraints.txt"
        assert pinned[_name(requirement.name)] in requirement.specifier


def test_ci_calls_the_test_command_of_the_readme() -> None:
    ci, readme = (ROOT / ".ci" / "run").read_text(), (ROOT / "README.md").read_text()
    for command in ("make lint", "make test"):
        assert re.search(rf"^{command}( ARGS=--durations=\d+)?$", ci, re.MULTILINE)
        assert command in readme


def test_ruff_before_a_commit_is_that_of_ci() -> None:
    hooks = read_yaml((ROOT / ".pre-commit-config.yaml").read_text())
    (rev,) = [repo["rev"] for repo in hooks["repos"] if repo["repo"].endswith("ruff-pre-commit")]
    assert rev == f"v{_constraints()['ruff']}"


def test_the_version_to_cite_is_that_of_the_package() -> None:
    cited = read_yaml((ROOT / "CITATION.cff").read_text())["version"]
    assert cited == rtdetr_nb.__version__
    assert f"## [{cited}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_public_name_can_be_imported() -> None:
    stub = ast.parse((ROOT / "rtdetr_nb" / "__init__.pyi").read_text())
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imported for alias in node.names}
    assert sorted(homes) == sorted(rtdetr_nb.__all__)
    for name, module in homes.items():
        home = importlib.import_module(f"rtdetr_nb.{module}")
        assert getattr(rtdetr_nb, name) is getattr(home, name)
    with pytest.raises(AttributeError, match="open_chekpoint"):
        getattr(rtdetr_nb, "open_chekpoint")  # noqa: B009
