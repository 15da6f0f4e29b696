"""A detector small enough to train in a test, pictures made for it, and real training processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.quick_run import quick_run_config
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from tests.small_runs import SMALL_HEADS, TrainServer, narrow_config


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 8 training and 4 validation pictures."""
    return write_shapes_dataset(tmp_path_factory.mktemp("shapes"), num_train=8, num_val=4, seed=7)


@pytest.fixture
def small_config(shapes_folder: Path) -> Config:
    """HGNetv2-L with small encoder and decoder, on 64-pixel pictures, seeded, on the CPU."""
    return quick_run_config(
        shapes_folder,
        steps=6,
        image_size=64,
        batch_size=2,
        overrides=[
            *SMALL_HEADS,
            "seed=3",
            "device=cpu",
            "train_dataloader.num_workers=0",
            "val_dataloader.num_workers=0",
        ],
    )


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
