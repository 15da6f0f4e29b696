from pathlib import Path

import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.errors import ConfigError, DatasetError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes_dataset(tmp_path_factory.mktemp("shapes"), num_train=2, num_val=2)


def test_schedules_fit_the_length(folder: Path) -> None:
    for steps, warmup in ((60, 10), (600, 100), (2, 1)):
        config = quick_run_config(folder, steps=steps)
        assert config.lr_warmup_scheduler is not None
        assert config.lr_warmup_scheduler.warmup_duration == warmup
        assert config.ema.warmups == warmup


@pytest.mark.parametrize(("asked", "given"), [(256, 256), (250, 256), (100, 96), (1, 32)])
def test_every_size_follows_the_picture_size(
    folder: Path, asked: int, given: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = quick_run_config(folder, image_size=asked)
    told = [record.getMessage() for record in caplog.records]
    assert bool(told) == (asked != given)
    assert all(f"image_size is {asked}" in each and f" {given} pixels" in each for each in told)
    assert config.eval_spatial_size == (given, given)
    for loader in (config.train_dataloader, config.val_dataloader):
        resizes = [op for op in loader.dataset.transforms.ops if op["type"] == "Resize"]
        assert [op["size"] for op in resizes] == [[given, given]]
        assert all("size" not in op for op in loader.dataset.transforms.ops if op not in resizes)


def test_classes_and_files_come_from_the_data(folder: Path) -> None:
    config = quick_run_config(folder, batch_size=3, overrides=["clip_max_norm=0.5"])
    assert config.num_classes == config.decoder.num_classes == 10
    assert config.train_dataloader.dataset.img_folder == str(folder / "images" / "train")
    assert config.val_dataloader.dataset.ann_file == str(folder / "annotations" / "val.json")
    assert config.train_dataloader.total_batch_size == 3
    assert config.clip_max_norm == 0.5


def test_the_backbone_is_that_of_the_training_proper(folder: Path) -> None:
    full = load_config("rtdetrv2_hgnetv2_x", ["HGNetv2.use_lab=True"])
    for config in (
        quick_run_config(folder, backbone_of=full),
        quick_run_config(folder, overrides=["HGNetv2.name=X", "HGNetv2.use_lab=True"]),
    ):
        assert (config.backbone.name, config.backbone.use_lab) == ("X", True)
    by_name = quick_run_config(folder, backbone_of="rtdetrv2_hgnetv2_h")
    assert (by_name.backbone.name, by_name.backbone.use_lab) == ("H", False)
    assert quick_run_config(folder).backbone.name == "L"
    with pytest.raises(ConfigError, match="There is no configuration"):
        quick_run_config(folder, backbone_of="rtdetrv2_hgnetv2_m")


def test_data_that_no_run_can_use_is_refused_here(tmp_path: Path) -> None:
    folder = write_shapes_dataset(tmp_path, num_train=2, num_val=2)
    quick_run_config(folder)
    next((folder / "images" / "train").iterdir()).unlink()
    with pytest.raises(DatasetError, match="There is no picture"):
        quick_run_config(folder)


def test_a_folder_of_any_name_is_found(tmp_path: Path) -> None:
    folder = write_shapes_dataset(tmp_path / "my set #2: yes", num_train=2, num_val=2)
    dataset = quick_run_config(folder).train_dataloader.dataset
    assert dataset.img_folder == str(folder / "images" / "train")
    assert dataset.ann_file == str(folder / "annotations" / "train.json")


def test_what_is_no_data_set_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"not known. Expected a folder with images/train"):
        quick_run_config(tmp_path)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text('{"images": []}')
    with pytest.raises(DatasetError, match="expected an object with the lists images"):
        quick_run_config(tmp_path)


def test_a_wrong_override_is_explained(folder: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'clip_max_norm'"):
        quick_run_config(folder, overrides=["clip_max_nrm=1"])
