from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.batches.loader import build_dataloader, build_dataset
from rtdetr_nb.errors import ConfigError, DatasetError
from tests.datasets.conftest import box

WriteDataset = Callable[..., tuple[Path, Path]]


@pytest.fixture
def config(write_dataset: WriteDataset) -> Config:
    annotations = [box(i, [1 + j, 2 + i, 12, 9], j) for i in range(11) for j in range(i % 4)]
    categories = [{"id": i, "name": str(i)} for i in range(3)]
    folder, path = write_dataset(annotations, num_images=11, categories=categories)
    overrides = ["num_classes=3", "remap_mscoco_category=False"]
    for split in ("train", "val"):
        overrides += [
            f"{split}_dataloader.dataset.img_folder={folder}",
            f"{split}_dataloader.dataset.ann_file={path}",
            f"{split}_dataloader.total_batch_size=4",
            f"{split}_dataloader.num_workers=0",
        ]
    overrides += [
        "train_dataloader.dataset.transforms.ops.5.size=[32,32]",
        "val_dataloader.dataset.transforms.ops.0.size=[32,32]",
        "train_dataloader.collate_fn.scales=[32,64]",
    ]
    return load_config("rtdetrv2_hgnetv2_l", overrides)


def assert_equal_batches(found: Any, wanted: Any) -> None:
    assert len(found) == len(wanted) > 0
    for (images, targets), (other_images, other_targets) in zip(found, wanted, strict=True):
        assert torch.equal(images, other_images)
        for target, other in zip(targets, other_targets, strict=True):
            assert target.keys() == other.keys()
            assert all(torch.equal(target[key], other[key]) for key in target)


def test_a_training_batch(config: Config):
    loader = build_dataloader(config, "train")
    batches = list(loader)
    assert len(batches) == len(loader) == 2  # 11 pictures, 4 a batch, the rest dropped
    for images, targets in batches:
        assert images.dtype == torch.float32
        assert images.shape[:2] == (4, 3)
        assert images.shape[2] in {32, 64}
        assert images.min() >= 0
        assert images.max() <= 1
        for target in targets:
            assert type(target["boxes"]) is torch.Tensor
            assert target["boxes"].dtype == torch.float32
            assert target["boxes"].shape == (len(target["labels"]), 4)
            assert (target["boxes"] <= 1).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_is_its_samples_at_the_size_of_the_batch(config: Config, workers: int):
    loader = build_dataloader(config, "train", seed=7, num_workers=workers)
    loader.set_position(2)
    dataset = build_dataset(config, "train", seed=7)
    for images, targets in loader:
        samples = [dataset[2, int(target["idx"])] for target in targets]
        wanted = torch.stack([image for image, _ in samples])
        assert torch.equal(images, F.interpolate(wanted, size=images.shape[-1]))
        for target, (_, other) in zip(targets, samples, strict=True):
            assert all(torch.equal(target[key], other[key]) for key in other)


def test_a_validation_epoch_has_every_picture_once_in_order(config: Config):
    loader = build_dataloader(config, "val")
    ids = [int(target["image_id"]) for _, targets in loader for target in targets]
    assert ids == list(range(11))
    assert len(loader) == 3


def test_batches_do_not_depend_on_the_number_of_workers(config: Config):
    alone = list(build_dataloader(config, "train", seed=7, num_workers=0))
    helped = list(build_dataloader(config, "train", seed=7, num_workers=2))
    assert_equal_batches(helped, alone)


def test_batches_depend_on_the_seed_and_the_epoch(config: Config):
    loader = build_dataloader(config, "train", seed=7)
    first = list(loader)
    loader.set_position(1)
    second = list(loader)
    other = list(build_dataloader(config, "train", seed=8))
    for batches in (second, other):
        assert not any(torch.equal(x, y) for (x, _), (y, _) in zip(batches, first, strict=True))


def test_nothing_else_draws_on_the_batches(config: Config):
    wanted = list(build_dataloader(config, "train", seed=7))
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert_equal_batches(list(build_dataloader(config, "train", seed=7)), wanted)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_goes_on_where_it_was_left(config: Config, workers: int):
    loader = build_dataloader(config, "train", seed=7, num_workers=workers)
    loader.set_position(3)
    whole = list(loader)
    loader.set_position(3, 1)
    assert_equal_batches(list(loader), whole[1:])
    assert len(loader) == 2
    loader.set_position(3, 2)
    assert list(loader) == []


def test_processes_share_a_batch(config: Config):
    loaders = [build_dataloader(config, "val", rank=rank, world_size=2) for rank in range(2)]
    ids = [[int(t["image_id"]) for _, targets in loader for t in targets] for loader in loaders]
    assert ids == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9]]
    assert [len(targets) for _, targets in loaders[0]] == [2, 2, 2]


def test_a_broken_picture_is_one_sentence_from_a_worker_too(config: Config):
    path = Path(config.val_dataloader.dataset.img_folder) / "3.png"
    path.write_bytes(path.read_bytes()[:-1000])
    for workers in (0, 1):
        with pytest.raises(DatasetError) as caught:
            list(build_dataloader(config, "val", num_workers=workers))
        message = str(caught.value)
        assert message.startswith("The picture ")
        assert "3.png" in message
        assert "\n" not in message


def test_fewer_pictures_than_a_batch_are_refused(config: Config):
    wanted = "lists 11 pictures, fewer than one batch .*64.*drop_last"
    with pytest.raises(DatasetError, match=wanted):
        build_dataloader(config.override(["train_dataloader.total_batch_size=64"]), "train")
    kept = ["train_dataloader.total_batch_size=64", "train_dataloader.drop_last=False"]
    assert len(build_dataloader(config.override(kept), "train")) == 1


@pytest.mark.parametrize(
    ("override", "world_size", "said"),
    [
        ("train_dataloader.total_batch_size=null", 1, "total_batch_size: None and batch_size"),
        ("train_dataloader.total_batch_size=0", 1, "1 or more"),
        ("train_dataloader.total_batch_size=4", 3, "3 processes cannot share"),
        ("train_dataloader.dataset.type=VocDetection", 1, "expected CocoDetection"),
        ("train_dataloader.dataset.return_masks=True", 1, "return_masks"),
    ],
)
def test_what_cannot_be_built_is_named(config: Config, override: str, world_size: int, said: str):
    with pytest.raises(ConfigError, match=said):
        build_dataloader(config.override([override]), "train", world_size=world_size)


def test_the_size_of_each_process_may_be_given(config: Config):
    overrides = ["train_dataloader.total_batch_size=null", "train_dataloader.batch_size=3"]
    loader = build_dataloader(config.override(overrides), "train", world_size=3)
    assert [len(targets) for _, targets in loader] == [3]


def test_the_data_set_is_as_configured(config: Config):
    dataset = build_dataset(config, "train", seed=5)
    assert dataset.seed == 5
    with pytest.raises(DatasetError, match="num_classes: 2"):
        build_dataset(config.override(["num_classes=2"]), "train")
