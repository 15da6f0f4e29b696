"""Files of one process of a distributed training, each with the tool that gathers it."""

from pathlib import Path

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import choose_candidate, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.errors import CheckpointError
from tests.checkpoint.wild import CONFIG, backbone, save

FLAT = {"_fsdp_wrapped_module._flat_param": torch.ones(1000)}
FLAT_PARTS = {f"stages.{n}._flat_param": torch.ones(100) for n in range(4)}
GROUPS = {"optimizer_state_dict": {"fp32_flat_groups": [torch.ones(1000)]}}
EMPTY = {name: torch.empty(0) for name in backbone()}


@pytest.mark.parametrize(
    ("content", "tool"),
    [
        ({"model": FLAT}, "FULL_STATE_DICT"),
        ({"model": FLAT_PARTS}, "FULL_STATE_DICT"),
        (GROUPS, "zero_to_fp32.py"),
        ({"module": EMPTY, "ds_config": {"zero": 3}}, "zero_to_fp32.py"),
        ({"module": EMPTY}, "Gather the weights"),
    ],
    ids=["flat", "flat a stage", "ZeRO optimizer", "ZeRO-3", "empty"],
)
def test_a_share_is_named_with_its_tool(content, tool: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(save(content, tmp_path / "rank0.pt"))
    assert tool in checkpoint.share
    if checkpoint.candidates:
        (failure, *_) = compare(checkpoint, CONFIG).verdict.failures
        assert tool in failure.action
    else:
        with pytest.raises(CheckpointError, match=tool):
            choose_candidate(checkpoint, None, "L")


def test_whole_weights_are_no_share(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(save({"module": backbone(), "ds_config": {}}, tmp_path / "a.pt"))
    assert checkpoint.share == ""
    assert compare(checkpoint, CONFIG).counts["matched"] == 400


def test_one_file_of_a_distributed_checkpoint_says_what_to_open(tmp_path: Path) -> None:
    path = tmp_path / "__0_0.distcp"
    path.write_bytes(b"\0" * 64)
    with pytest.raises(CheckpointError, match="Open the folder"):
        open_checkpoint(path)
