"""Which files are ranked, how they are called, and which epoch they are of."""

from pathlib import Path

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.diagnostics.ranking.epoch import epoch_in_name, epoch_of
from rtdetr_nb.diagnostics.ranking.files import files_to_rank, names_of
from rtdetr_nb.errors import CheckpointError


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    wanted = touch(tmp_path, "best.pth", "epoch_3.pth", "epoch_12.pth", "epoch_24.safetensors")
    touch(tmp_path, "log.txt", ".hidden.pth")
    touch(tmp_path / "other", "epoch_1.pth")
    assert files_to_rank(tmp_path) == wanted
    assert files_to_rank([wanted[2], str(wanted[1]), tmp_path, wanted[2]]) == wanted


def test_parts_of_a_checkpoint_are_no_files_of_their_own(tmp_path: Path) -> None:
    index, *_ = touch(
        tmp_path, "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    )  # fmt: skip
    assert files_to_rank(tmp_path) == [index]


def test_nothing_to_rank_is_a_sentence(tmp_path: Path) -> None:
    touch(tmp_path, "log.txt")
    with pytest.raises(CheckpointError, match="no checkpoint directly in"):
        files_to_rank(tmp_path)
    with pytest.raises(CheckpointError, match="no files to rank"):
        files_to_rank([])


def test_a_file_that_is_not_there_is_left_for_its_row(tmp_path: Path) -> None:
    assert files_to_rank([tmp_path / "no.pth"]) == [tmp_path / "no.pth"]


def test_names_tell_files_apart() -> None:
    assert names_of([Path("/a/x.pth"), Path("/a/y.pth")]) == ["x.pth", "y.pth"]
    assert names_of([Path("/a/x.pth"), Path("/b/x.pth")]) == ["a/x.pth", "b/x.pth"]


@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("epoch_3_backbone_mmdet.pth", 3),
        ("checkpoint0012.pth", 12),
        ("epoch=11-step=900.ckpt", 11),
        ("best_ep7.pt", 7),
        ("student-e04.pth", 4),
        ("best.pth", None),
        ("hgnetv2_l_300.pth", None),
        ("step_9000.pth", None),
        ("core_12.pth", None),
    ],
)
def test_the_epoch_in_a_name(name: str, epoch: int | None) -> None:
    assert epoch_in_name(name) == epoch


@pytest.mark.parametrize(
    ("beside", "epoch"),
    [
        ({"epoch": 5}, 5),
        ({"meta": {"epoch": 6, "iter": 900}}, 6),
        ({"last_epoch": 0}, 0),
        ({"meta": {"epoch": 6}, "epoch": 7}, 7),
        ({"epoch": "five"}, 3),
        ({}, 3),
    ],
)
def test_the_content_comes_before_the_name(
    tmp_path: Path, beside: dict[str, object], epoch: int
) -> None:
    path = tmp_path / "epoch_3.pth"
    torch.save({"model": {"a": torch.ones(2)}, **beside}, path)
    assert epoch_of(open_checkpoint(path)) == epoch
