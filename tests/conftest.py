"""What tests of several folders begin with: a detector that trains in a test, a backbone's file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.run import Run
from tests.checkpoint.wild import CONFIG, backbone, detector, save, tensor
from tests.small_runs import SMALL_HEADS, TrainServer, narrow_config
from tests.ui.fake_run import FakeRun


@pytest.fixture(scope="session", autouse=True)
def _kept_results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is computed once in a folder of the tests, not in that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RTDETR_NB_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield


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


@pytest.fixture(scope="session")
def backbone_file(tmp_path_factory) -> Path:
    """The export of a distillation trainer: bare names below `state_dict`, an adapter beside."""
    adapter = {"adapters.0.weight": tensor("adapter", (8, 16, 1, 1))}
    content = {"meta": {"epoch": 3}, "state_dict": backbone(), "adapter_state_dict": adapter}
    return save(content, tmp_path_factory.mktemp("files") / "best_backbone_mmdet.pth")


@pytest.fixture(scope="session")
def detector_file(tmp_path_factory) -> Path:
    """An official last.pth with raw and averaged weights and an optimizer."""
    content = {
        "model": detector(salt="raw"),
        "ema": {"module": detector(salt="ema")},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "last_epoch": 3,
    }
    return save(content, tmp_path_factory.mktemp("files") / "last.pth")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Runs are described and not started; what they were asked for is listed."""
    calls: list[dict[str, Any]] = []

    def start_run(config: object, *, output_dir: str, **options: object) -> Run:
        run = Run(Path(output_dir))
        if run.description and not run.is_over:
            raise RunError(f"A run is still going on in {output_dir}.")
        calls.append({"config": config, "output_dir": output_dir, **options})
        FakeRun(Path(output_dir)).describe("running", number=len(calls))
        return run

    monkeypatch.setattr("rtdetr_nb.runs.find_or_start.start_run", start_run)
    monkeypatch.setattr("rtdetr_nb.ui.panel.run_settings.start_run", start_run)
    return calls


@pytest.fixture
def backbone_diff(backbone_file: Path) -> Diff:
    return compare(open_checkpoint(backbone_file), CONFIG)


@pytest.fixture
def detector_diff(detector_file: Path) -> Diff:
    return compare(open_checkpoint(detector_file), CONFIG)
