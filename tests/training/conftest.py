"""Real training processes for the tests of runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.small_runs import TrainServer, narrow_config


@pytest.fixture(scope="session")
def train_server() -> Iterator[TrainServer]:
    """Starts training processes without the seconds that importing torch takes."""
    server = TrainServer()
    yield server
    server.close()


@pytest.fixture
def narrow_file(shapes_folder: Path, tmp_path: Path) -> Path:
    """A configuration file for the processes of `train_server`: 4 steps an epoch."""
    path = tmp_path / "narrow.yml"
    path.write_text(narrow_config(shapes_folder).to_yaml())
    return path
