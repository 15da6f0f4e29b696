"""A look into a file waits neither for torch nor for anything else that takes long to load."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fresh_interpreter import loaded_by

LATE = {
    "torch",
    "numpy",
    "pandas",
    "safetensors",
    "rich",
    "pickletools",
    "matplotlib",
    "ipywidgets",
}
COMMAND = "import sys; from rtdetr_nb.cli.main import main; assert main(sys.argv[1:]) == 0"
LIST = (
    "import sys, rtdetr_nb; opened = rtdetr_nb.open_checkpoint(sys.argv[1]);"
    "assert len(opened.tensors) == 4"
)


@pytest.fixture
def mixed_file(tmp_path: Path) -> Path:
    """A whole module, an array and a tensor: each is of a class that a listing does without."""
    path = tmp_path / "mixed.pth"
    torch.save({"module": torch.nn.Linear(2, 3), "a": np.ones(3), "t": torch.ones(2)}, path)
    return path


@pytest.mark.parametrize(
    ("program", "needed"),
    [
        ("import rtdetr_nb", set()),
        (LIST, set()),
        (f"{LIST}; opened.read_numpy(['a', 't'])", {"numpy"}),
    ],
    ids=["package", "listing", "arrays"],
)
def test_a_program_loads_what_it_needs(program: str, needed: set[str], mixed_file: Path) -> None:
    assert loaded_by(program, mixed_file) & LATE == needed


@pytest.mark.parametrize(("command", "needed"), [("inspect", set()), ("diff", {"numpy"})])
def test_a_command_loads_what_it_needs(command: str, needed: set[str], backbone_file: Path) -> None:
    assert loaded_by(COMMAND, command, backbone_file) & LATE == needed


def test_what_is_heavy_would_be_noticed() -> None:
    assert {"torch", "numpy"} <= loaded_by("import rtdetr_nb.boxes")
