"""Training learns: a small detector learns 16 pictures by heart."""

from pathlib import Path

import pytest

from rtdetr_nb.architecture import hgnetv2_variants as architecture
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.runs.records import events
from rtdetr_nb.training.assembly import TrainingOptions
from rtdetr_nb.training.loop import train

# HGNetv2 with an eighth of the channels of L: its blocks, and every gradient through them.
THIN = architecture.BackboneSpec(
    (3, 16, 24),
    architecture.hgnetv2_stages(
        (24, 16, 32, 1), (32, 24, 64, 1), (64, 32, 128, 1), (128, 48, 256, 1)
    ),
)
STEPS = 200
SETTINGS = [
    "HybridEncoder.in_channels=[64,128,256]",
    "HybridEncoder.hidden_dim=64",
    "HybridEncoder.nhead=4",
    "HybridEncoder.dim_feedforward=128",
    "HybridEncoder.depth_mult=0.34",
    "RTDETRTransformerv2.hidden_dim=64",
    "RTDETRTransformerv2.feat_channels=[64,64,64]",
    "RTDETRTransformerv2.nhead=4",
    "RTDETRTransformerv2.dim_feedforward=128",
    "RTDETRTransformerv2.num_layers=2",
    "RTDETRTransformerv2.num_queries=40",
    "RTDETRTransformerv2.num_denoising=20",
    "RTDETRPostProcessor.num_top_queries=40",
    "optimizer.lr=0.002",
    "optimizer.params.0.lr=0.002",
    "clip_max_norm=1.0",
    "preview_freq=0",
    "seed=3",
    "device=cpu",
    "train_dataloader.num_workers=0",
    "val_dataloader.num_workers=0",
]


@pytest.mark.slow
def test_sixteen_pictures_are_learnt_by_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(architecture.HGNETV2_VARIANTS, "L", THIN)
    data = write_shapes_dataset(tmp_path / "data", num_train=16, num_val=1, seed=7)
    pictures = [
        f"val_dataloader.dataset.img_folder={data / 'images' / 'train'}",
        f"val_dataloader.dataset.ann_file={data / 'annotations' / 'train.json'}",
    ]
    config = quick_run_config(data, steps=STEPS, image_size=128, batch_size=8)
    config = config.override([*SETTINGS, *pictures])
    records = list(train(config, TrainingOptions(tmp_path, max_steps=STEPS)))
    (evaluation,) = events(records, "evaluation")
    assert evaluation.get("num_images") == 16
    # Untrained it is 0.
    assert (evaluation["statistics"]["AP"] or 0.0) > 0.5
