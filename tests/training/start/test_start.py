"""What a run says about its data and its disk before the first step, and what it refuses."""

import json
import logging
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtdetr_nb.datasets.checks.check_data import check_data
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.training import assembly
from rtdetr_nb.training.assembly import TrainingOptions, assemble
from rtdetr_nb.training.loop import train
from rtdetr_nb.training.start import disk_room
from tests.datasets.builders import write_kit
from tests.small_runs import narrow_backbone, narrow_config

Lines = list[tuple[str, str]]


def start(
    data: Path, output: Path, caplog: pytest.LogCaptureFixture, *overrides: str, **options: Any
) -> Lines:
    """Put a run together; returns the levels and sentences of its log."""
    caplog.clear()
    caplog.set_level(logging.INFO)
    with narrow_backbone():
        assemble(narrow_config(data, *overrides), TrainingOptions(output, **options))
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def change(root: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    write_kit(root)
    path = root / "annotations" / "train.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return root


def forget_owls(content: dict[str, Any]) -> None:
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 2]


def test_a_run_tells_once_what_a_check_finds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = change(tmp_path, forget_owls)
    lines = start(data, tmp_path / "run", caplog)
    found = [note for note in check_data(data, "none", num_denoising=4).findings]
    told = [line for line in lines if "owl" in line[1]]
    assert told == [("WARNING", str(note)) for note in found if note.level == "warning"]
    assert len(told) == 1 and "class has boxes in val and none in train: owl" in told[0][1]
    assert not [line for line in start(write_kit(tmp_path / "sound"), tmp_path / "run", caplog)
                if line[0] == "WARNING"]  # fmt: skip


def test_contradicting_sizes_are_told(shapes_folder: Path, tmp_path: Path, caplog) -> None:
    def told(*overrides: str) -> list[str]:
        lines = start(shapes_folder, tmp_path, caplog, *overrides)
        return [level for level, text in lines if "eval_spatial_size" in text]

    assert told("eval_spatial_size=[96,96]") == ["WARNING"]
    assert told() == []


@pytest.mark.parametrize("keys", [True, False], ids=["official keys", "data"])
def test_what_no_run_can_use_is_refused_before_the_model_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: bool
) -> None:
    config = narrow_config(write_kit(tmp_path))
    if not keys:
        config = config.with_values({"data": str(tmp_path)})
    built: list[object] = []
    monkeypatch.setattr(assembly, "build_model", built.append)
    (tmp_path / "images" / "train" / "train_3.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"cannot be opened as pictures \(first train_3\.png"):
        next(train(config, TrainingOptions(tmp_path / "run")))
    assert not built


def test_half_a_picture_ends_a_run_with_its_name_and_keeps_the_state(
    shapes_folder: Path, tmp_path: Path
) -> None:
    content = json.loads((shapes_folder / "annotations" / "train.json").read_text())
    source = shapes_folder / "images" / "train" / content["images"][5]["file_name"]
    half = tmp_path / "half.jpg"
    half.write_bytes(source.read_bytes()[:-2000])
    content["images"][5]["file_name"] = str(half)
    (tmp_path / "train.json").write_text(json.dumps(content))
    config = narrow_config(
        shapes_folder,
        f"train_dataloader.dataset.ann_file={tmp_path / 'train.json'}",
        "train_dataloader.shuffle=False",
    )
    (tmp_path / "run").mkdir()
    with narrow_backbone(), pytest.raises(DatasetError, match=r"half\.jpg cannot be decoded"):
        list(train(config, TrainingOptions(tmp_path / "run")))
    assert (tmp_path / "run" / "last.pth").is_file()


def test_a_disk_without_room_for_the_checkpoints_is_told(
    shapes_folder: Path, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    keys = ("epoches=72", "checkpoint_freq=1")
    free = 100_000_000
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: usage(free))

    def told(*overrides: str, **options: Any) -> list[str]:
        lines = start(shapes_folder, tmp_path / "new" / "run", caplog, *overrides, **options)
        return [text for level, text in lines if "checkpoints of" in text and level == "WARNING"]

    (text,) = told(*keys)
    assert "75 checkpoints" in text and "100 MB free" in text
    assert "checkpoint_freq (now 1)" in text and str(tmp_path / "new" / "run") in text
    assert told("epoches=72", "checkpoint_freq=24") == []
    assert told(*keys, max_steps=8) == []
    free = 10**12
    assert told(*keys) == []


def test_the_size_of_a_checkpoint_is_known_before_the_first_step(
    shapes_folder: Path, tmp_path: Path
) -> None:
    config = narrow_config(shapes_folder)
    options = TrainingOptions(tmp_path, max_steps=1)
    with narrow_backbone():
        expected = assemble(config, options).state.checkpoint_bytes
        list(train(config, options))
    written = (tmp_path / "last.pth").stat().st_size
    # The rest are names and the archive's own entries: much in a model as small as this one.
    assert expected < written < 1.5 * expected + 500_000
