import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.diagnostics.probing import naming
from rtdetr_nb.diagnostics.probing.probe_backbone import probe_backbone
from rtdetr_nb.errors import DatasetError, UserError
from rtdetr_nb.model.build import build_backbone

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
SIDE = 64


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("quick_run")


def write_data(
    folder: Path, colours: list[tuple[int, int, int]], counts: dict[str, int], seed: int = 0
) -> Path:
    """Pictures of two coloured boxes each; the class is the colour's place in the list."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        (folder / "images" / split).mkdir(parents=True)
        for image_id in range(count):
            pixels = rng.integers(90, 160, (SIDE, SIDE, 3), np.uint8)
            for x in (4, 36):
                label = int(rng.integers(len(colours)))
                y, side = int(rng.integers(4, 32)), int(rng.integers(16, 24))
                pixels[y : y + side, x : x + side] = colours[label]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": label,
                        "bbox": [x, y, side, side],
                        "area": side * side,
                        "iscrowd": 0,
                    }
                )
            Image.fromarray(pixels).save(folder / "images" / split / f"{image_id}.png")
            images.append(
                {"id": image_id, "file_name": f"{image_id}.png", "width": SIDE, "height": SIDE}
            )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": i, "name": f"colour <{i}>"} for i in range(len(colours))],
        }
        path = folder / "annotations" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def edit(folder: Path, split: str, change: Any) -> None:
    path = folder / "annotations" / f"{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    return write_data(tmp_path, COLOURS, {"train": 16, "val": 8})


def probe(config: Config, data: Path, **options: Any):
    return probe_backbone(config, data=data, seeds=options.pop("seeds", (0,)), image_size=SIDE,
                          device="cpu", **options)  # fmt: skip


def test_what_the_features_hold_is_found(config: Config, coloured: Path):
    """Even random features tell red from green from blue."""
    result = probe(config, coloured, seeds=(0, 1))
    assert result.random_mean > 0.7
    assert result.random_high > 0.85
    assert result.chance < 0.6
    assert result.accuracy is None
    assert result.weights is None
    assert (result.train_boxes, result.val_boxes) == (32, 16)
    assert sum(c.val_boxes for c in result.per_class) == 16
    assert len(result.random) == 2


def test_what_the_pictures_do_not_show_is_not_found(config: Config, tmp_path: Path):
    grey = [(125, 125, 125)] * 3
    result = probe(config, write_data(tmp_path, grey, {"train": 24, "val": 24}))
    assert result.random_mean < 0.6


def test_loaded_weights_are_those_of_the_file(config: Config, tmp_path: Path):
    """A tuning file of the random weights of seed 1 is as good as these, to the last digit."""
    # One colour pair close together, so that the figure is not simply 1.
    data = write_data(
        tmp_path, [(120, 125, 125), (130, 125, 125), (125, 125, 130)], {"train": 24, "val": 12}
    )
    torch.manual_seed(1)
    state = build_backbone(config).state_dict()
    tuning = tmp_path / "tuning.pth"
    torch.save({"model": {f"backbone.{key}": value for key, value in state.items()}}, tuning)
    result = probe(config, data, tuning=tuning, seeds=(0, 1))
    assert result.accuracy == result.random[1]
    assert [c.accuracy for c in result.per_class] == [c.random[1] for c in result.per_class]
    assert result.weights == str(tuning)


def test_the_global_generator_is_left_alone(config: Config, coloured: Path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = probe(config, coloured)
    assert torch.equal(torch.get_rng_state(), before)
    assert probe(config, coloured).random == first.random


def test_random_weights_are_probed_once(
    config: Config, coloured: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second time no random backbone is made; other pictures, boxes and seeds are new."""
    first = probe(config, coloured)
    with monkeypatch.context() as patch:
        patch.setattr(naming, "random_backbone", None)
        again = probe(config, coloured)
        assert again.per_class == first.per_class and again.random_ranks == first.random_ranks
        with pytest.raises(TypeError):
            probe(config, coloured, seeds=(0, 77))
        with pytest.raises(TypeError):
            probe(config, coloured, bins=1)
        edit(coloured, "val", lambda content: content["annotations"][0]["bbox"].__setitem__(2, 8))
        with pytest.raises(TypeError):
            probe(config, coloured)


def test_class_figures_add_up(config: Config, coloured: Path):
    result = probe(config, coloured)
    right = sum(c.val_boxes * c.random[0] for c in result.per_class if c.val_boxes)
    assert right / result.val_boxes == pytest.approx(result.random[0])


def test_a_class_with_too_few_boxes_is_left_out_and_said(config: Config, coloured: Path):
    def change(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 9, "name": "rare"})
        for annotation in content["annotations"][:2]:
            annotation["category_id"] = 9

    edit(coloured, "train", change)
    result = probe(config, coloured)
    assert [c.name for c in result.per_class] == [f"colour <{i}>" for i in range(3)]
    assert result.train_boxes == 30
    assert "rare (2)" in result.notes[0]
    assert "rare (2)" in str(result)


def test_a_class_without_held_out_boxes_is_said(config: Config, coloured: Path):
    def change(content: dict[str, Any]) -> None:
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 2]

    edit(coloured, "val", change)
    result = probe(config, coloured)
    assert "No held-out boxes of: colour <2>." in result.notes
    assert result.per_class[2].val_boxes == 0
    assert result.per_class[2].random == ()
    assert "colour <2>" not in result.bars()[1]


def test_a_large_set_is_thinned_out_and_said(config: Config, tmp_path: Path):
    data = write_data(tmp_path, COLOURS[:2], {"train": 16, "val": 8})
    result = probe(config, data, max_pictures=10)
    assert (result.train_boxes, result.val_boxes) == (20, 16)
    assert result.notes == ("train: 10 of 16 pictures with boxes were used.",)


@pytest.mark.parametrize("split", ["train", "val"])
def test_data_without_boxes_are_refused(config: Config, coloured: Path, split: str):
    edit(coloured, split, lambda content: content["annotations"].clear())
    with pytest.raises(DatasetError, match=f"{split}.json has no boxes"):
        probe(config, coloured)


def test_one_class_is_not_enough(config: Config, tmp_path: Path):
    data = write_data(tmp_path, COLOURS[:1], {"train": 6, "val": 3})
    with pytest.raises(DatasetError, match="needs two classes.*found 1"):
        probe(config, data)


def test_a_missing_folder_is_an_error_of_the_user(config: Config, tmp_path: Path):
    with pytest.raises(DatasetError, match="There is no .*nowhere"):
        probe(config, tmp_path / "nowhere")


def test_unsound_weights_are_said(config: Config, coloured: Path, tmp_path: Path):
    state = build_backbone(config).state_dict()
    state["stem.stem1.conv.weight"].fill_(float("inf"))
    tuning = tmp_path / "unsound.pth"
    torch.save({"model": {f"backbone.{key}": value for key, value in state.items()}}, tuning)
    with pytest.raises(UserError, match="not finite"):
        probe(config, coloured, tuning=tuning)


def test_the_result_as_data_text_and_html(config: Config, coloured: Path):
    result = probe(config, coloured)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["random_mean"] == result.random_mean
    assert plain["per_class"][0]["name"] == "colour <0>"
    assert "16 held-out" not in str(result)
    assert "colour &lt;0&gt;" in result._repr_html_()
    assert "<0>" not in result._repr_html_()
    loaded, random = result.bars()
    assert loaded == {}
    assert next(iter(random)) == "all classes"
    assert len(random) == 4
