"""Who may import whom: checked on the source, and on what a light import really loads.

The rule itself stands in docs/architecture.md, which is read here.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rtdetr_nb
from tests.fresh_interpreter import loaded_by
from tests.paths import ROOT

PACKAGE = Path(rtdetr_nb.__file__).parent
NAME = PACKAGE.name
EVERYTHING = "everything"

# Of these folders, what takes long to load belongs inside functions.
LIGHT = {"architecture", "checkpoint", "cli", "config", "errors", "files", "runs", "text"}
HEAVY = {"torch", "torchvision", "safetensors", "pandas", "scipy", "timm", "transformers"}
ONLY_IN_UI = {"ipywidgets", "IPython", "matplotlib", "anywidget", "itables"}


def read_rule() -> dict[str, set[str]]:
    """Folder -> folders that it may import from, as the page about the architecture says."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"```imports\n(.*?)```", page, re.DOTALL)
    assert block is not None
    rule: dict[str, set[str]] = {}
    for line in block[1].splitlines():
        folders, _, allowed = line.partition(" -> ")
        names = set(allowed.split(", ")) - {"nothing"}
        rule.update((folder, names) for folder in folders.split(", "))
    return rule


RULE = read_rule()


@dataclass(frozen=True)
class Import:
    """One imported module by its full name, and where the import stands."""

    module: str
    in_function: bool
    for_types: bool

    @property
    def when_loaded(self) -> bool:
        """Whether loading the importing file runs it."""
        return not (self.in_function or self.for_types)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {module for module, path in FILES.items() if path.name == "__init__.py"}


def folder_of(module: str) -> str:
    """The folder of a module, as the rule names it; a file beside the folders is one itself."""
    inner = module.removeprefix(NAME).removeprefix(".")
    while module not in PACKAGES and "." in inner:
        inner, module = inner.rpartition(".")[0], module.rpartition(".")[0]
    return inner


def imports(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """All imports of a module's source, relative ones resolved."""
    package = module.split(".") if is_package else module.split(".")[:-1]

    def visit(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, in_function, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                yield Import(whole if whole in FILES else origin, in_function, for_types)
        in_function |= isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for_types |= isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, in_function, for_types)

    return visit(ast.parse(source), False, False)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What in the source of `module` breaks the rule, one sentence each."""
    folder = folder_of(module)
    part = folder.split(".")[0]
    allowed = RULE.get(folder, {EVERYTHING} if part in ("", "__main__") else set())
    found = []
    for item in imports(source, module, is_package):
        root, _, inner = item.module.partition(".")
        if root in ONLY_IN_UI and part != "ui":
            found.append(f"{module} imports {item.module}; only ui may.")
        if root in HEAVY and part in LIGHT and item.when_loaded:
            found.append(f"{module} imports {item.module} when it is loaded.")
        if root == NAME and inner and EVERYTHING not in allowed:
            target = folder_of(item.module)
            if target not in {folder, *allowed}:
                found.append(f"{module} imports {item.module}, which the rule does not allow.")
    return found


def graph_of_files() -> dict[str, list[Import]]:
    return {
        module: [
            item
            for item in imports(path.read_text(), module, path.name == "__init__.py")
            if item.module in FILES
        ]
        for module, path in FILES.items()
    }


def assert_no_circle(graph: dict[str, set[str]]) -> None:
    assert sum(map(len, graph.values())) > 20  # the graph was really read
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_the_rule_names_every_folder():
    folders = {folder_of(module) for module in FILES} - {"", "__main__"}
    assert set(RULE) == folders
    assert {name for allowed in RULE.values() for name in allowed} <= {*folders, EVERYTHING}


@pytest.mark.parametrize("module", FILES)
def test_modules_keep_the_rule(module):
    path = FILES[module]
    assert violations(path.read_text(), module, path.name == "__init__.py") == []


def test_folders_have_no_circles_of_any_kind():
    graph: dict[str, set[str]] = {}
    for module, items in graph_of_files().items():
        folder = folder_of(module)
        # Everybody may ask the package for its version.
        targets = {folder_of(item.module) for item in items if item.module != NAME}
        graph.setdefault(folder, set()).update(targets - {folder})
    assert_no_circle(graph)


def test_files_have_no_circles_but_for_types():
    graph = {
        module: {item.module for item in items if not item.for_types and item.module != NAME}
        for module, items in graph_of_files().items()
    }
    assert_no_circle(graph)


def test_folders_have_three_to_fifteen_files():
    for package in PACKAGES - {NAME}:
        folder = FILES[package].parent
        entries = [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
        assert 3 <= len(entries) <= 16, package  # `__init__.py` is one of them
        assert (ast.get_docstring(ast.parse(FILES[package].read_text())) or "").endswith((".", "?"))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("checkpoint.checkpoint", "import torch"),
        ("checkpoint.checkpoint", "from safetensors.numpy import load"),
        ("checkpoint.comparison.diff", "import numpy, pandas as pd"),
        (
            "checkpoint.comparison.diff",
            "try:\n    import torch\nexcept ImportError:\n    torch = 0",
        ),
        ("checkpoint.comparison.diff", "from rtdetr_nb.config.load import load_config"),
        ("checkpoint.comparison.diff", "def f():\n    from rtdetr_nb.model import hgnetv2"),
        ("checkpoint.comparison.diff", "from ...model import hgnetv2"),
        ("checkpoint.reading.arrays", "from rtdetr_nb.checkpoint.naming.renaming import rename"),
        (
            "checkpoint.naming.dialects",
            "if TYPE_CHECKING:\n    from rtdetr_nb.checkpoint import tuning",
        ),
        ("model.build", "from rtdetr_nb.training.losses.matcher import Matches"),
        ("model.build", "import rtdetr_nb.checkpoint"),
        ("model.build", "from rtdetr_nb import datasets"),
        ("datasets.coco", "from rtdetr_nb.model.layers import MLP"),
        ("training.loop", "from rtdetr_nb.ui import tables"),
        ("runs.records", "import matplotlib.pyplot as plt"),
        ("runs.run", "def f():\n    from IPython.display import display"),
        ("official.runs", "from rtdetr_nb.training.losses.matcher import Matches"),
        ("ui.picking.picker", "from rtdetr_nb.training import loop, ema"),
        ("ui.picking.picker", "from rtdetr_nb.model.build import build_model"),
        ("cli.main", "import torch"),
        ("errors", "from rtdetr_nb.boxes import cxcywh_to_xyxy"),
        ("config.schema", "import torch"),
    ],
)
def test_what_breaks_the_rule_is_noticed(module, source):
    assert violations(source, f"{NAME}.{module}") != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("checkpoint.checkpoint", "import numpy as np\nimport zipfile"),
        ("checkpoint.checkpoint", "def f():\n    import torch\n    import pandas"),
        ("checkpoint.checkpoint", "if TYPE_CHECKING:\n    import pandas"),
        ("checkpoint.checkpoint", "from .naming import dialects\nfrom .reading.arrays import Any"),
        ("checkpoint.tuning.write", "from rtdetr_nb import __version__"),
        (
            "checkpoint.comparison.row",
            "from rtdetr_nb.architecture.state_dict_table import KeyInfo",
        ),
        ("training.loop", "import torch\nfrom rtdetr_nb.model.build import build_model"),
        ("ui.live_plot", "import matplotlib\nfrom rtdetr_nb.runs.records import History"),
        (
            "cli.main",
            "from rtdetr_nb.training import loop\nfrom rtdetr_nb.checkpoint import tuning",
        ),
    ],
)
def test_what_keeps_the_rule_is_let_pass(module, source):
    assert violations(source, f"{NAME}.{module}") == []


def test_light_parts_load_nothing_heavy():
    light = [m for m in FILES if folder_of(m).split(".")[0] in LIGHT]
    assert len(light) > 5
    modules = [NAME, f"{NAME}.checkpoint", *light]
    loaded = {name.split(".")[0] for name in loaded_by(f"import {', '.join(modules)}")}
    assert NAME in loaded
    assert loaded & (HEAVY | ONLY_IN_UI) == set()


def test_building_a_model_loads_no_torchvision():
    """Importing torchvision takes as long as importing torch: `convert` needs only the latter."""
    loaded = loaded_by(f"import {NAME}.model.build, {NAME}.conversion.convert")
    assert "torch" in loaded and "torchvision" not in loaded
