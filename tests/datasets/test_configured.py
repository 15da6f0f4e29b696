"""From a folder of any layout to what a run trains and evaluates on."""

from pathlib import Path

import numpy as np
import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.annotations import annotation_cache
from rtdetr_nb.datasets.batches.loader import build_dataloader, build_dataset
from rtdetr_nb.datasets.checks.check_data import check_data
from rtdetr_nb.datasets.configured import with_data_settings
from rtdetr_nb.datasets.crowding import crowding_note
from rtdetr_nb.datasets.layouts import voc, yolo
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.runs.records import events
from rtdetr_nb.training.assembly import TrainingOptions
from rtdetr_nb.training.loop import train
from tests.conftest import SMALL_HEADS
from tests.datasets.builders import write_kit, write_voc, write_yolo
from tests.datasets.test_kinds import change_files, renamed_ids, same
from tests.datasets.test_layouts import coco2017, label_studio, roboflow

WORKERS = ["train_dataloader.num_workers=0", "val_dataloader.num_workers=0"]


def huge_ids(root: Path) -> Path:
    return change_files(root, renamed_ids(same, lambda i: 74_000_000 + 3 * i))


@pytest.mark.parametrize("write", [write_kit, coco2017, roboflow])
def test_official_keys_say_what_they_can(write, tmp_path: Path) -> None:
    config = quick_run_config(write(tmp_path / "data"))
    assert config.data is None and "data" not in config.yaml
    assert Path(config.train_dataloader.dataset.ann_file).is_file()
    assert Path(config.val_dataloader.dataset.img_folder).is_dir()


@pytest.mark.parametrize("write", [write_kit, write_yolo, write_voc, label_studio, huge_ids])
def test_a_configuration_written_and_read_again_opens_the_same(write, tmp_path: Path) -> None:
    data = open_data(write(tmp_path / "data"))
    path = tmp_path / "config.yml"
    path.write_text(quick_run_config(data).to_yaml())
    config = load_config(path)
    datasets = build_dataset(config, "train"), build_dataset(config, "val")
    for dataset, split in zip(datasets, (data.train, data.val), strict=True):
        opened = dataset.split
        assert list(opened.paths) == list(split.paths)
        assert opened.labels.tolist() == split.labels.tolist()
        assert opened.classes == split.classes


def test_files_that_lie_anywhere_reach_the_run(tmp_path: Path) -> None:
    huge_ids(tmp_path)
    images, files = tmp_path / "images", tmp_path / "annotations"
    data = DataSource.from_files(
        (images / "train", files / "train.json"), (images / "val", files / "val.json")
    )
    config = quick_run_config(data)
    (tmp_path / "config.yml").write_text(config.to_yaml())
    again = build_dataset(load_config(tmp_path / "config.yml"), "train")
    assert again.split.classes == {0: "cat", 1: "dog", 2: "owl"}


def test_full_training_takes_a_folder(tmp_path: Path) -> None:
    coco2017(tmp_path / "coco")
    full = load_config("rtdetrv2_hgnetv2_l", [f"data={tmp_path / 'coco'}"])
    config = with_data_settings(full)
    assert config.data is None
    assert (config.num_classes, config.remap_mscoco_category) == (3, False)
    assert config.train_dataloader.dataset.img_folder == str(tmp_path / "coco" / "train2017")
    assert len(build_dataset(config, "val")) == 4
    yolo = with_data_settings(
        load_config("rtdetrv2_hgnetv2_l", [f"data={write_yolo(tmp_path / 'yolo')}"])
    )
    assert yolo.data == str(tmp_path / "yolo") and yolo.num_classes == 3
    assert len(build_dataset(yolo, "train")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_yolo, huge_ids])
def test_a_run_trains_and_evaluates_on_any_layout(write, tmp_path: Path) -> None:
    config = quick_run_config(
        write(tmp_path / "data"),
        image_size=64,
        batch_size=2,
        eval_pictures=3,
        overrides=[*SMALL_HEADS, *WORKERS, "device=cpu", "seed=0"],
    )
    records = list(train(config, TrainingOptions(output_dir=tmp_path, max_steps=1)))
    (evaluation,) = events(records, "evaluation")
    assert evaluation.get("num_images") == 3
    assert set(evaluation.get("per_class", {})) == {"cat", "dog", "owl"}
    predictions = events(records, "predictions")[0]
    assert {name for p in predictions["pictures"] for name in p["true_labels"]} <= {
        "cat", "dog", "owl"
    }  # fmt: skip


def test_an_evaluation_looks_at_some_pictures_chosen_evenly(tmp_path: Path) -> None:
    config = quick_run_config(write_kit(tmp_path), eval_pictures=3)
    dataset = build_dataset(config, "val")
    assert dataset.ids == [0, 1, 3]
    assert sorted(dataset.coco.imgs) == [0, 1, 3]
    assert len(build_dataset(config, "train")) == 6
    loader = build_dataloader(config.override(WORKERS), "val")
    assert [int(t["image_id"]) for _, targets in loader for t in targets] == [0, 1, 3]
    everything = quick_run_config(tmp_path, eval_pictures=None)
    assert len(build_dataset(everything, "val")) == len(open_data(tmp_path).val) == 4


def test_a_file_is_read_once_while_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kit(tmp_path)
    read: list[Path] = []
    reader = annotation_cache.read_annotation_file
    monkeypatch.setattr(
        annotation_cache, "read_annotation_file", lambda path: read.append(path) or reader(path)
    )
    config = quick_run_config(tmp_path)
    build_dataset(config, "train")
    open_data(tmp_path)
    assert [path.name for path in read] == ["train.json", "val.json"]
    path = tmp_path / "annotations" / "val.json"
    path.write_text(path.read_text() + "\n")
    open_data(tmp_path)
    assert [path.name for path in read] == ["train.json", "val.json", "val.json"]


@pytest.mark.parametrize(
    ("write", "module", "label"),
    [(write_yolo, yolo, "labels/val/val_0.txt"), (write_voc, voc, "Annotations/val_0.xml")],
    ids=["yolo", "voc"],
)
def test_label_files_are_read_once_while_they_are_the_same(
    write, module, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    read: list[str] = []
    reader = module.read_label_file
    monkeypatch.setattr(
        module, "read_label_file", lambda path, *more: read.append(path.name) or reader(path, *more)
    )
    config = quick_run_config(tmp_path)
    build_dataset(config, "train")
    check_data(tmp_path, "none")
    first = open_data(tmp_path)
    assert len(read) == len(set(read)) == 10
    # An object more, written into the file in place.
    path = tmp_path / label
    lines = path.read_text()
    item = lines[lines.find("<object>") : lines.find("</object>") + 9] if "<" in lines else ""
    more = lines.replace(item, 2 * item, 1) if item else f"{lines}\n{lines.splitlines()[0]}"
    path.write_text(more)
    again = open_data(tmp_path)
    assert again.val.num_boxes == first.val.num_boxes + 1
    assert again.train.num_boxes == first.train.num_boxes
    # A picture less: its name is not found any more.
    (tmp_path / ("images/val/val_1.png" if module is yolo else "JPEGImages/val_1.png")).unlink()
    without = open_data(tmp_path)
    assert len(without.val) == 3 if module is yolo else len(without.val.missing) == 1


def test_splits_that_disagree_are_refused_before_the_first_step(tmp_path: Path) -> None:
    write_kit(tmp_path)
    config = quick_run_config(tmp_path, overrides=[*SMALL_HEADS, *WORKERS, "device=cpu"])
    path = tmp_path / "annotations" / "val.json"
    path.write_text(path.read_text().replace('"cat"', '"x"').replace('"dog"', '"cat"'))
    with pytest.raises(DatasetError, match="number their categories differently"):
        next(train(config, TrainingOptions(output_dir=tmp_path / "run")))


def test_a_picture_too_full_for_the_decoder_is_told_with_the_keys(tmp_path: Path) -> None:
    split = open_data(write_kit(tmp_path)).train
    assert crowding_note(split, num_queries=3, num_denoising=3) is None
    note = crowding_note(split, num_queries=2, num_denoising=2)
    assert note is not None and note.level == "warning"
    assert "has 3 boxes" in note.what and "6 denoising queries" in note.what
    assert "RTDETRTransformerv2.num_queries" in note.action
    roomy = crowding_note(split, num_queries=300, num_denoising=2)
    assert roomy is not None and roomy.level == "note"


def test_arrays_hold_the_annotations_and_nothing_else_does(tmp_path: Path) -> None:
    """A worker that reads Python objects copies the pages they lie on."""
    pictures = open_data(write_kit(tmp_path)).train.pictures
    values = [*vars(pictures).values(), *pictures.boxes, *vars(pictures.names).values()]
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    assert len(arrays) == 10
    assert all(array.dtype != object for array in arrays)
