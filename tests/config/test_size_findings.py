"""A configuration that says two things about its picture sizes, and sound ones beside it."""

import pytest

from rtdetr_nb.config.load import load_config, shipped_configs
from rtdetr_nb.config.size_findings import size_findings
from rtdetr_nb.text.findings import FAILURE, WARNING

VAL = "val_dataloader.dataset.transforms.ops.0.size"
TRAIN = "train_dataloader.dataset.transforms.ops.1.size"
SCALES = "train_dataloader.collate_fn.scales"


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_agree_with_themselves(name):
    assert size_findings(load_config(name)) == []


@pytest.mark.parametrize(
    ("overrides", "level", "words"),
    [
        ([f"{VAL}=[320,320]"], FAILURE, "eval_spatial_size is [256, 256]"),
        (["eval_spatial_size=[640,640]"], FAILURE, "evaluated at [256, 256]"),
        ([f"{TRAIN}=[256,512]", f"{SCALES}=[224,256,288]"], WARNING, "made square"),
        ([f"{TRAIN}=[128,128]"], WARNING, "trained on at [128, 128]"),
        ([f"{SCALES}=[480,512]"], WARNING, "trained on at 480 to 512"),
    ],
)
def test_a_contradiction_is_found(overrides, level, words):
    found, *_ = size_findings(load_config("quick_run", overrides))
    assert found.level == level and words in found.what
    assert found.where and found.action


def test_other_sizes_that_agree_are_no_finding():
    both = [f"{TRAIN}=[256,512]", f"{VAL}=[256,512]", "eval_spatial_size=[256,512]"]
    assert size_findings(load_config("quick_run", both)) == []
    around = [f"{SCALES}=[224,256,288]"]
    assert size_findings(load_config("quick_run", around)) == []
    assert size_findings(load_config("quick_run", ["eval_spatial_size=null"])) == []
