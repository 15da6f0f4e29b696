"""A detector small enough to train in a test, on pictures made for it."""

from pathlib import Path

import pytest

from rtdetr_nb.config import Config
from rtdetr_nb.datasets.shapes import write_shapes_dataset
from rtdetr_nb.presets import quick_run_config

SMALL_HEADS = [
    "HybridEncoder.hidden_dim=32",
    "HybridEncoder.nhead=4",
    "HybridEncoder.dim_feedforward=32",
    "HybridEncoder.depth_mult=0.34",
    "RTDETRTransformerv2.hidden_dim=32",
    "RTDETRTransformerv2.feat_channels=[32,32,32]",
    "RTDETRTransformerv2.nhead=4",
    "RTDETRTransformerv2.dim_feedforward=32",
    "RTDETRTransformerv2.num_layers=2",
    "RTDETRTransformerv2.num_queries=20",
    "RTDETRTransformerv2.num_denoising=4",
    "RTDETRPostProcessor.num_top_queries=20",
]


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
