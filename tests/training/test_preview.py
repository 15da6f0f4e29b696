from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.loader import build_dataset
from rtdetr_nb.model.build import build_model
from rtdetr_nb.runs.records import events, is_step
from rtdetr_nb.training.loop import TrainingOptions, train
from rtdetr_nb.training.precision import choose_precision
from rtdetr_nb.training.preview import Preview, choose_pictures

CPU = torch.device("cpu")


def make_preview(config: Config) -> Preview:
    return Preview(config, build_dataset(config, "val"), CPU, choose_precision(CPU, False))


def test_a_record_holds_all_that_is_needed_to_draw(small_config):
    config = small_config.override(["preview_freq=2"])
    dataset = build_dataset(config, "val")
    torch.manual_seed(0)
    model = build_model(config).train()
    record = make_preview(config).record(6, model)
    assert model.training
    assert record["event"] == "predictions" and record["step"] == 6
    assert len(record["pictures"]) == 4
    for picture in record["pictures"]:
        entry = dataset.coco.imgs[picture["image_id"]]
        annotations = dataset.coco.imgToAnns[picture["image_id"]]
        assert Path(picture["file"]).is_file() and Path(picture["file"]).is_absolute()
        assert picture["size"] == [entry["width"], entry["height"]]
        x, y, width, height = annotations[0]["bbox"]
        assert picture["true_boxes"][0] == pytest.approx([x, y, x + width, y + height], abs=0.06)
        assert picture["true_labels"][0] == dataset.coco.cats[annotations[0]["category_id"]]["name"]
        assert len(picture["boxes"]) == len(picture["labels"]) == len(picture["scores"]) == 20
        assert picture["scores"] == sorted(picture["scores"], reverse=True)


def test_boxes_are_those_of_the_postprocessor(small_config):
    config = small_config.override(["preview_freq=1"])
    torch.manual_seed(1)
    model = build_model(config).eval()
    preview = make_preview(config)
    picture = preview.record(0, model)["pictures"][0]
    dataset = build_dataset(config, "val")
    index = dataset.ids.index(picture["image_id"])
    image, _ = dataset[index]
    with torch.no_grad():
        output = model(image[None])
    best = output["pred_logits"][0].sigmoid().flatten().argmax()
    query = int(best) // config.num_classes
    center_x, _, width, _ = output["pred_boxes"][0, query].tolist()
    assert picture["boxes"][0][0] == pytest.approx(
        (center_x - width / 2) * picture["size"][0], abs=0.06
    )
    assert picture["labels"][0] == dataset.label_names[int(best) % config.num_classes]


def test_only_every_so_many_steps(small_config):
    model = build_model(small_config)
    preview = make_preview(small_config.override(["preview_freq=3"]))
    assert [len(list(preview.records(step, model))) for step in range(5)] == [1, 0, 0, 1, 0]
    assert list(make_preview(small_config.override(["preview_freq=0"])).records(0, model)) == []


def test_pictures_with_several_objects_come_first(small_config):
    split = build_dataset(small_config, "val").split
    images = np.array([0, 2, 2, 3, 3], np.int32)  # one, none, one and a crowd, two
    crowds = np.array([False, False, True, False, False])
    columns = split.pictures.boxes.taken(np.arange(5))._replace(images=images, crowds=crowds)
    split = replace(split, pictures=replace(split.pictures, boxes=columns))
    assert choose_pictures(split, 1) == [3]
    assert choose_pictures(split, 2) == [0, 3]
    assert choose_pictures(split, 4) == [0, 2, 3]


@pytest.mark.slow
def test_a_run_with_previews_trains_as_one_without(small_config, tmp_path):
    losses = {}
    for freq in (0, 1):
        config = small_config.override([f"preview_freq={freq}"])
        options = TrainingOptions(output_dir=tmp_path, max_steps=2)
        records = list(train(config, options))
        losses[freq] = [record["loss"] for record in records if is_step(record)]
        assert len(events(records, "predictions")) == freq * 3  # before the first step, then each
    assert losses[0] == losses[1]
