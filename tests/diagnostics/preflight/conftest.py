"""A training that is sound, and its tuning file."""

from pathlib import Path

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.tuning.input_format import FORMATS
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.quick_run import quick_run_config
from tests.diagnostics.input_format.corpus import demo_state, expecting
from tests.paths import DATA
from tests.small_runs import SMALL_HEADS


@pytest.fixture
def sound() -> Config:
    """HGNetv2-L with small heads on the sample pictures, all of it trained, on the CPU."""
    return quick_run_config(
        DATA / "shapes",
        steps=60,
        image_size=96,
        batch_size=4,
        overrides=[
            *SMALL_HEADS,
            "device=cpu",
            "seed=3",
            "epoches=10",
            "eval_freq=1",
            "checkpoint_freq=5",
            "HGNetv2.freeze_at=-1",
            "HGNetv2.freeze_norm=False",
            "optimizer.params.0.params='^(?=.*backbone)(?!.*(?:norm|bn)).*$'",
            "train_dataloader.num_workers=0",
            "val_dataloader.num_workers=0",
        ],
    )


@pytest.fixture(scope="session")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's backbone as a tuning file."""
    path = tmp_path_factory.mktemp("tuning") / "tuning.pth"
    config = quick_run_config(DATA / "shapes")
    selection = compare(open_checkpoint(DATA / "demo_backbone_mmdet.pth"), config).select()
    write_tuning_file(selection, path)
    return path


@pytest.fixture(scope="session")
def wrong_format(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same from a distillation on pictures normalised as for ImageNet."""
    path = tmp_path_factory.mktemp("wrong") / "tuning.pth"
    state = expecting(demo_state(), FORMATS["imagenet"])
    torch.save({"model": {f"backbone.{name}": value for name, value in state.items()}}, path)
    return path
