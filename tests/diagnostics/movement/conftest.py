"""Real runs of a narrow detector, whose weights are compared with what they began with."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from rtdetr_nb.diagnostics.movement.result import WhatMoved
from rtdetr_nb.diagnostics.movement.what_moved import what_moved
from rtdetr_nb.model.build import build_model
from tests.small_runs import TrainServer, narrow_backbone, narrow_config


@dataclass
class Trained:
    """Makes runs in folders below `root`, and compares them."""

    server: TrainServer
    data: Path
    root: Path

    def run(self, name: str, *flags: object, overrides: tuple[str, ...] = ()) -> Path:
        """Train to the end and return the folder."""
        file = self.root / f"{name}.yml"
        file.write_text(narrow_config(self.data, *overrides).to_yaml())
        words = ["train", "-c", file, "--output-dir", self.root / name, *flags]
        child = self.server.start(*words, output=self.root / f"{name}.log")
        assert child.wait() == 0, child.text()
        return self.root / name

    def write_tuning(self, name: str = "tuning.pth") -> Path:
        """A tuning file of random weights that no run begins with by itself."""
        torch.manual_seed(11)
        state = build_model(narrow_config(self.data)).state_dict()
        backbone = {key: value for key, value in state.items() if key.startswith("backbone.")}
        torch.save({"model": backbone}, self.root / name)
        return self.root / name


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """The backbone of the runs, in this process too."""
    with narrow_backbone():
        yield


@pytest.fixture(scope="module")
def trained(
    narrow: None,
    train_server: TrainServer,
    shapes_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """Where runs of a module are made."""
    return Trained(train_server, shapes_folder, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def tuned(trained: Trained) -> Path:
    """A run of 4 steps from a tuning file, the stem and all norms of the backbone frozen."""
    return trained.run("tuned", "-t", trained.write_tuning(), "--max-steps", 4)


@pytest.fixture(scope="module")
def moved(tuned: Path) -> WhatMoved:
    """What moved in it."""
    return what_moved(tuned)


@pytest.fixture
def spoilt(tuned: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Makes a copy of the run whose last checkpoint was changed."""

    def spoil(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = shutil.copytree(tuned, tmp_path / "spoilt")
        content = torch.load(folder / "last.pth", weights_only=True)
        change(content)
        torch.save(content, folder / "last.pth")
        return folder

    return spoil
