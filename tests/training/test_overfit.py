"""Training learns: a small detector learns 16 pictures by heart."""

from pathlib import Path

import pytest

from rtdetr_nb.architecture import hgnetv2_variants as architecture
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.runs.records import events
from rtdetr_nb.training.assembly import TrainingOptions
from rtdetr_nb.training.loop import train
from tests.thin_network import SETTINGS, THIN

STEPS = 200


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
