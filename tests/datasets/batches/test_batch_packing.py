import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torchvision import tv_tensors

from rtdetr_nb.datasets.batches.batch_packing import (
    TENSORS_OF_A_BATCH,
    PackingCollate,
    unpack_targets,
)
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset


def make_targets() -> list[dict[str, torch.Tensor]]:
    return [
        {
            "boxes": tv_tensors.BoundingBoxes(
                torch.arange(4.0 * count).reshape(-1, 4),
                format="XYXY",  # type: ignore[arg-type]
                canvas_size=(30 + count, 40),
            ),
            "labels": torch.arange(count),
            "image_id": torch.tensor([count]),
        }
        for count in (2, 0, 3)
    ]


def test_targets_come_back_as_they_were():
    images, packed = PackingCollate(lambda samples: (torch.zeros(1), list(samples)))(make_targets())
    assert 1 + len(packed) <= TENSORS_OF_A_BATCH
    for found, wanted in zip(unpack_targets(packed), make_targets(), strict=True):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        assert all(found[name].dtype == wanted[name].dtype for name in wanted)
        boxes, expected = found["boxes"], wanted["boxes"]
        assert isinstance(boxes, tv_tensors.BoundingBoxes)
        assert isinstance(expected, tv_tensors.BoundingBoxes)
        assert boxes.canvas_size == expected.canvas_size
        assert boxes.format == expected.format


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "workers", "ends"), [(256, 2, "64 64"), (64, 4, "ulimit")])
def test_a_batch_of_64_needs_few_open_files(tmp_path: Path, limit: int, workers: int, ends: str):
    folder = write_shapes_dataset(tmp_path / "shapes", num_train=128, num_val=2)
    program = f"""
        import resource, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
        from rtdetr_nb.datasets.batches.loader import build_dataloader
        from rtdetr_nb.errors import DatasetError
        from rtdetr_nb.datasets.quick_run import quick_run_config
        config = quick_run_config({str(folder)!r}, image_size=32, batch_size=64)
        try:
            loader = build_dataloader(config, "train", num_workers={workers})
            print(*(len(targets) for _, targets in list(loader)))
        except DatasetError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ends in done.stdout, done.stderr
