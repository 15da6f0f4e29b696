"""Who may import whom: checked on the source, and on what a light import really loads."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rtdetr_nb

PACKAGE = Path(rtdetr_nb.__file__).parent
NAME = PACKAGE.name

# Tables, names, errors and the ways to write files, which every part may import.
LEAVES = {
    "architecture", "atomic_file", "checkout", "coco_categories", "errors", "model_keys", "schema",
    "text", "waiting_threads", "yaml_text"
}  # fmt: skip

# Part of the package -> the parts that it may import, besides the leaves and itself.
ALLOWED: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "boxes": set(),
    "config": {"config_check"},
    "config_check": {"config"},  # for its type alone
    "presets": {"config"},
    "notebook_copies": set(),
    "checkpoint": set(),
    "model": {"boxes", "config"},
    "datasets": {"boxes", "config"},
    "training": {"model", "datasets", "checkpoint", "boxes", "config"},
    # Its runs are runs like ours: the same folder, the same handle, another program inside.
    "official": {
        *("config", "checkpoint", "official_command", "official_log"),
        *("training.history", "training.run", "training.run_folder"),
    },
    "official_command": {"config"},
    "official_log": {"training.history"},
    "official_supervisor": {"config", "checkpoint", "official_log", "training.run_folder"},
    "ui": {
        *("config", "presets", "checkpoint", "official", "official_command"),
        *("training.ensure", "training.history", "training.run", "training.run_folder"),
    },
}
COMMANDS = {
    "__main__",
    "cli",
    "cli_checkpoint",
    "cli_demo",
    "cli_lab",
    "cli_output",
    "cli_progress",
    "cli_train",
}
MAY_IMPORT_ALL = {"__init__", "demo", "demo_story", *COMMANDS}

# Of these parts, what takes long to load belongs inside functions.
LIGHT = {*LEAVES, *COMMANDS, "config", "config_check", "presets", "checkpoint"}
HEAVY = {"torch", "torchvision", "safetensors", "pandas", "scipy", "timm", "transformers"}
ONLY_IN_UI = {"ipywidgets", "IPython", "matplotlib", "anywidget", "itables"}


@dataclass(frozen=True)
class Import:
    """One imported module by its full name; `when_loaded` unless it stands inside a function."""

    module: str
    when_loaded: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """All imports of a module's source, relative ones resolved."""
    package = module.split(".") if is_package else module.split(".")[:-1]

    def visit(node: ast.AST, when_loaded: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, when_loaded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                yield Import(whole if whole in FILES else origin, when_loaded)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, when_loaded and not inside and not types_only)

    return visit(ast.parse(source), True)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What in the source of `module` breaks the rule, one sentence each."""
    part = module.split(".")[1]
    found = []
    for item in imports(source, module, is_package):
        root, _, inner = item.module.partition(".")
        if root in ONLY_IN_UI and part != "ui":
            found.append(f"{module} imports {item.module}; only ui may.")
        if root in HEAVY and part in LIGHT and item.when_loaded:
            found.append(f"{module} imports {item.module} when it is loaded.")
        if root == NAME and inner and part not in MAY_IMPORT_ALL:
            allowed = {part, *LEAVES, *ALLOWED[part]}
            if not any(inner == name or inner.startswith(f"{name}.") for name in allowed):
                found.append(f"{module} imports {item.module}, which the rule does not allow.")
    return found


@pytest.mark.parametrize("module", FILES)
def test_modules_keep_the_rule(module):
    path = FILES[module]
    assert violations(path.read_text(), module, path.name == "__init__.py") == []


def test_no_circles():
    """No module needs itself, by way of others, in order to be loaded."""
    graph = {
        module: {
            item.module
            for item in imports(path.read_text(), module, path.name == "__init__.py")
            if item.when_loaded and item.module in FILES
        }
        for module, path in FILES.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circular import: {' -> '.join(error.args[1])}")
    assert order.index("rtdetr_nb.errors") < order.index("rtdetr_nb.config")
    assert sum(len(imported) for imported in graph.values()) > 20  # the graph was really read


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("checkpoint.read", "import torch"),
        ("checkpoint.read", "from safetensors.numpy import load"),
        ("checkpoint.diff", "import numpy, pandas as pd"),
        ("checkpoint.diff", "try:\n    import torch\nexcept ImportError:\n    torch = None"),
        ("checkpoint.diff", "from rtdetr_nb.config import Config"),
        ("checkpoint.diff", "def f():\n    from rtdetr_nb.model.hgnetv2 import HGNetv2"),
        ("checkpoint.diff", "from ..model import hgnetv2"),
        ("model.build", "from rtdetr_nb.training.matcher import Matches"),
        ("model.build", "import rtdetr_nb.checkpoint"),
        ("model.build", "from rtdetr_nb import datasets"),
        ("datasets.coco", "from rtdetr_nb.model.layers import MLP"),
        ("training.loop", "from rtdetr_nb.ui import tables"),
        ("training.history", "import matplotlib.pyplot as plt"),
        ("training.run", "def f():\n    from IPython.display import display"),
        ("official", "from rtdetr_nb.training.matcher import Matches"),
        ("ui.picker", "from rtdetr_nb.training import loop, ema"),
        ("ui.picker", "from rtdetr_nb.model.build import build_model"),
        ("cli", "import torch"),
        ("errors", "from rtdetr_nb.boxes import cxcywh_to_xyxy"),
        ("schema", "import torch"),
    ],
)
def test_what_breaks_the_rule_is_noticed(module, source):
    assert violations(source, f"{NAME}.{module}") != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("checkpoint.read", "import numpy as np\nimport zipfile"),
        ("checkpoint.read", "def f():\n    import torch\n    import pandas"),
        ("checkpoint.read", "if TYPE_CHECKING:\n    import pandas"),
        ("checkpoint.read", "from . import dialects\nfrom .contents import Candidate"),
        ("checkpoint.read", "from rtdetr_nb import __version__"),
        ("checkpoint.read", "from rtdetr_nb.model_keys import model_keys"),
        ("training.loop", "import torch\nfrom rtdetr_nb.model.build import build_model"),
        ("ui.live_plot", "import matplotlib\nfrom rtdetr_nb.training.history import History"),
        ("cli", "from rtdetr_nb.training import loop\nfrom rtdetr_nb.checkpoint import diff"),
    ],
)
def test_what_keeps_the_rule_is_let_pass(module, source):
    assert violations(source, f"{NAME}.{module}") == []


def loaded_by(*modules: str) -> set[str]:
    """The root packages that a fresh interpreter has loaded after importing the modules."""
    code = f"import sys, json, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_light_parts_load_nothing_heavy():
    light = [m for m in FILES if m.split(".")[1] in LIGHT - {"__main__"}]
    assert len(light) > 5
    loaded = loaded_by(NAME, f"{NAME}.checkpoint", *light)
    assert NAME in loaded
    assert loaded & (HEAVY | ONLY_IN_UI) == set()


def test_a_heavy_import_would_be_noticed():
    assert "torch" in loaded_by(f"{NAME}.boxes")
