"""The script that trained the demo backbone: what it learns from, and what it writes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rtdetr_nb.datasets.shapes.generate import CLASS_NAMES
from tests.paths import DATA

SCRIPT = DATA / "train_demo_backbone.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_demo_backbone", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_steps_go_through_the_phases(script: ModuleType):
    settings = script.Settings()
    first, last = settings.phases[0], settings.phases[-1]
    assert settings.phase_of(0) == settings.phase_of(first.steps - 1) == first
    assert settings.phase_of(first.steps) == settings.phases[1]
    assert settings.phase_of(settings.steps - 1) == last
    with pytest.raises(IndexError):
        settings.phase_of(settings.steps)


def test_cells_belong_to_the_smallest_box_they_are_in_the_middle_of(script: ModuleType):
    boxes = torch.tensor([[0.0, 0.0, 64.0, 64.0], [8.0, 8.0, 24.0, 24.0], [50.0, 3.0, 52.0, 5.0]])
    owners = script.assign_cells(boxes, 64, 8).reshape(8, 8)
    assert owners[4, 4] == 0  # in the large box only
    assert owners[1, 1] == 1  # in both: the smaller one
    assert owners[0, 6] == 2  # no cell's centre is in it, but its own centre is in this cell
    assert owners[0, 0] == -1  # in the box, but not in its middle
    assert script.assign_cells(boxes[:0], 64, 8).tolist() == [-1] * 64


def test_a_sample_fades_from_silhouettes_to_the_picture(script: ModuleType):
    seed = (5, 1)
    plain, boxes, labels = script.draw_sample(seed, 64, fade=0.0)
    image, other_boxes, other_labels = script.draw_sample(seed, 64)
    assert torch.equal(boxes, other_boxes)
    assert torch.equal(labels, other_labels)
    # Black and white, but for the resizing's edges and the JPEG: most pixels are extreme and grey.
    assert ((plain < 0.1) | (plain > 0.9)).float().mean() > 0.8
    assert (plain.amax(dim=0) - plain.amin(dim=0)).max() < 0.1
    assert (image.amax(dim=0) - image.amin(dim=0)).mean() > 0.1
    assert boxes.max() <= 64
    assert len(boxes) == len(labels) > 0


def test_no_picture_of_the_sample_is_trained_on(script: ModuleType):
    # The sample's seeds begin with 0.
    assert 0 not in {script.TRAINING_SEED, script.HELD_OUT_SEED}
    assert script.TRAINING_SEED != script.HELD_OUT_SEED


def test_the_rate_warms_up_and_falls_to_nothing(script: ModuleType):
    settings = script.Settings()
    rates = [script.learning_rate(settings, step) for step in range(settings.steps)]
    peak = int(np.argmax(rates))
    assert peak in {settings.warmup_steps - 1, settings.warmup_steps}
    assert max(rates) == pytest.approx(settings.learning_rate)
    assert np.all(np.diff(rates[peak + 1 :]) < 0)
    assert rates[-1] < 1e-3 * settings.learning_rate


@pytest.fixture(scope="module")
def trained(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two runs of two steps: one whole, one interrupted after the first."""
    folder = tmp_path_factory.mktemp("states")
    phase = script.Phase(steps=2, side=32, pictures=3, max_objects=1, min_diameter=18.0)
    settings = script.Settings(phases=(phase,), warmup_steps=1, held_out_side=32)
    whole = script.train(settings, folder / "whole.pth", report_every=1)
    (folder / "whole.pth").unlink()

    held_out = iter([[0.0] * 4])  # the second call finds nothing more, and so ends the run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "held_out_accuracy", lambda *_: next(held_out))
        with pytest.raises(StopIteration):
            script.train(settings, folder / "part.pth", report_every=1)
    resumed = script.train(settings, folder / "part.pth", report_every=1)
    return settings, whole, resumed


@pytest.mark.slow
def test_an_interrupted_training_goes_on_where_it_was(trained: Any):
    _, whole, resumed = trained
    assert resumed["step"] == whole["step"] == 2
    for key, value in whole["model"].items():
        torch.testing.assert_close(resumed["model"][key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_the_export_has_a_distillation_trainers_layout(
    script: ModuleType, trained: Any, tmp_path: Path
):
    settings, state, _ = trained
    script.export(state, settings, tmp_path / "out.pth")
    assert (tmp_path / "out.pth").stat().st_size < 30_000_000
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert set(content) == {"meta", "state_dict", "adapter_state_dict"}
    assert content["meta"]["settings"]["phases"][0]["side"] == 32
    keys = content["state_dict"].keys()
    assert "stem.stem1.conv.weight" in keys
    assert not any(key.startswith("backbone.") for key in keys)
    assert content["adapter_state_dict"]["0.weight"].shape[1] == 512
    for key, value in content["state_dict"].items():
        original = state["model"][f"backbone.{key}"]
        if key.endswith("num_batches_tracked"):
            assert torch.equal(value, original)
        else:
            assert value.dtype == torch.float16
            torch.testing.assert_close(value.float(), original, rtol=1e-3, atol=1e-6)


def test_values_that_half_precision_cannot_hold_are_refused(script: ModuleType):
    with pytest.raises(ValueError, match="half precision cannot hold"):
        script.to_half("stem.stem1.conv.weight", torch.tensor([1e6]))
    with pytest.raises(ValueError, match="rounds to zero"):
        script.to_half("stem.stem1.bn.running_var", torch.tensor([1e-12]))
    assert script.to_half("x.num_batches_tracked", torch.tensor(3)).dtype == torch.int64


def test_a_batch_lays_labels_and_boxes_out(script: ModuleType):
    samples = [script.draw_sample((5, index), 64) for index in range(3)]
    batch = script.make_batch(samples, 64)
    assert batch.images.shape == (3, 3, 64, 64)
    assert len(batch.labels) == sum(len(boxes) for boxes in batch.boxes_xyxy)
    assert set(batch.labels.tolist()) <= set(range(len(CLASS_NAMES)))
    for stride, boxes, positive in zip(
        script.STRIDES, batch.cell_boxes, batch.cell_positive, strict=True
    ):
        assert boxes.shape == (3, (64 // stride) ** 2, 4)
        owned = {tuple(row) for row in boxes[positive].tolist()}
        assert owned <= {tuple(row) for rows in batch.boxes_xyxy for row in rows.tolist()}
        assert (boxes[~positive] == 0).all()
