"""Sides of pictures that the encoder cannot halve are refused where the configuration is read."""

import pytest

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config, shipped_configs
from rtdetr_nb.config.picture_sizes import picture_sizes
from rtdetr_nb.errors import ConfigError

TRAIN_RESIZE = "train_dataloader.dataset.transforms.ops.5"
VAL_RESIZE = "val_dataloader.dataset.transforms.ops.0"


@pytest.fixture(scope="module")
def official() -> Config:
    return load_config("rtdetrv2_hgnetv2_l")


def test_where_the_shipped_file_says_sizes(official):
    sizes = dict(picture_sizes(official))
    assert list(sizes) == [
        "eval_spatial_size",
        "HybridEncoder.eval_spatial_size",
        "RTDETRTransformerv2.eval_spatial_size",
        "train_dataloader.collate_fn.scales",
        f"{TRAIN_RESIZE}.size",
        f"{VAL_RESIZE}.size",
    ]
    assert sizes[f"{TRAIN_RESIZE}.size"] == [640, 640]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "eval_spatial_size=[650,640]",
            r"eval_spatial_size is \[650, 640\]; expected multiples of 32; the nearest is "
            r"\[640, 640\]\.",
        ),
        (f"{VAL_RESIZE}.size=[600,650]", r"ops\.0\.size is \[600, 650\]; .* \[608, 640\]\."),
        (f"{VAL_RESIZE}.size=500", r"ops\.0\.size is 500; .* the nearest is 512\."),
        (f"{VAL_RESIZE}.size=[5,0]", r"the nearest is \[32, 32\]\."),
        (f"{TRAIN_RESIZE}.size=[500,500]", r"ops\.5\.size is \[500, 500\]; .* \[512, 512\]\."),
        (
            "train_dataloader.collate_fn.scales=[480,500]",
            r"collate_fn\.scales is \[480, 500\]; .* \[480, 512\]\.",
        ),
    ],
)
def test_sizes_that_are_refused(official, override, message):
    with pytest.raises(ConfigError, match=message):
        official.override([override])


@pytest.mark.parametrize(
    "overrides",
    [
        ["eval_spatial_size=[320,480]"],
        ["eval_spatial_size=~"],
        [f"{VAL_RESIZE}.size=[96,1280]"],
        # Only the last of two sizes is that of a batch.
        [f"{VAL_RESIZE}={{type: Resize, size: [600, 600]}}",
         "val_dataloader.dataset.transforms.ops.1={type: PadToSize, size: [640, 640]}"],
        # No batch has the size of training pictures that every epoch resizes again.
        [f"{TRAIN_RESIZE}.size=[500,500]", "train_dataloader.collate_fn.stop_epoch=~"],
        [f"{TRAIN_RESIZE}.size=[500,500]", "train_dataloader.collate_fn.stop_epoch=72"],
        # Without the coarsest stage the coarsest map has stride 16.
        ["HGNetv2.return_idx=[1,2]", "eval_spatial_size=[336,336]"],
        # What is not a size is refused where the transforms are built.
        [f"{VAL_RESIZE}.size=big"],
        ["val_dataloader.dataset.transforms.ops=~"],
    ],
)  # fmt: skip
def test_sound_sizes_are_let_pass(official, overrides):
    official.override(overrides)


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_sizes_fit(name):
    assert dict(picture_sizes(load_config(name)))
