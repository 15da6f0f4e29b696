"""Official YAML in, typed configuration out: merging, overrides, and what is refused how."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config, shipped_configs
from rtdetr_nb.errors import ConfigError
from tests.golden import load_reference

L = "rtdetrv2_hgnetv2_l"

# The loss weights have no default, so every whole configuration has them from some file.
WEIGHTS = """
RTDETRCriterionv2:
  weight_dict: {loss_vfl: 1, loss_bbox: 5, loss_giou: 2}
  matcher: {weight_dict: {cost_class: 2, cost_bbox: 5, cost_giou: 2}}
"""


def plain(config: Config) -> dict[str, Any]:
    return json.loads(json.dumps(config.yaml))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file below the test's folder and return its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def official() -> Config:
    """HGNetv2-L as shipped."""
    return load_config(L)


def refusal(name_or_path: Any, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(name_or_path, overrides)
    return str(error.value)


# --- shipped files --------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["l", "x", "h"])
def test_shipped_files_hold_the_official_values(variant):
    expected = load_reference(f"config/config_{variant}.json")
    del expected["PResNet"]  # of the other backbone
    expected["HGNetv2"]["pretrained"] = False  # nothing is downloaded
    assert plain(load_config(f"rtdetrv2_hgnetv2_{variant}")) == expected


@pytest.mark.parametrize("variant", ["l", "x", "h"])
def test_the_merged_official_file_is_read(variant, write):
    official = load_reference(f"config/config_{variant}.json")
    config = load_config(write("official.yml", json.dumps(official)))
    assert plain(config) == official
    shipped = load_config(f"rtdetrv2_hgnetv2_{variant}")
    same = ("encoder", "decoder", "loss", "optimizer", "ema", "train_dataloader", "epoches")
    assert all(getattr(config, name) == getattr(shipped, name) for name in same)
    assert config.backbone.pretrained is True


def test_names_of_shipped_files():
    names = shipped_configs()
    assert {f"rtdetrv2_hgnetv2_{variant}_6x_coco" for variant in "lxh"} <= set(names)
    for name in names:
        assert load_config(name).backbone.name in {"L", "X", "H"}
    assert load_config(f"{L}_6x_coco.yml").yaml == load_config(L).yaml


def test_typed_values():
    config = load_config("rtdetrv2_hgnetv2_x")
    assert config.backbone.return_idx == (1, 2, 3)
    assert config.encoder.hidden_dim == 384
    assert config.encoder.depth_mult == 1.0 and isinstance(config.encoder.depth_mult, float)
    assert config.optimizer.params[0].lr == 1e-6 and config.optimizer.params[0].weight_decay is None
    assert config.lr_warmup_scheduler is not None
    assert config.lr_warmup_scheduler.warmup_duration == 2000
    assert config.train_dataloader.collate_fn.scales is not None
    assert config.train_dataloader.dataset.transforms.ops[0] == {
        "type": "RandomPhotometricDistort", "p": 0.5
    }  # fmt: skip
    assert repr(config) == "Config(rtdetrv2_hgnetv2_x: HGNetv2-X, 80 classes, 72 epochs)"
    with pytest.raises(FrozenInstanceError):
        config.epoches = 3  # type: ignore[misc]


def test_shared_values_come_from_the_top_level():
    config = load_config(
        L, ["num_classes=7", "eval_spatial_size=[320,480]", "use_focal_loss=False"]
    )
    for section in (config.decoder, config.loss, config.postprocess):
        assert section.num_classes == 7
    assert config.encoder.eval_spatial_size == config.decoder.eval_spatial_size == (320, 480)
    assert not config.postprocess.use_focal_loss and not config.loss.matcher.use_focal_loss
    assert config.val_dataloader.dataset.remap_mscoco_category
    remap = config.override(["remap_mscoco_category=False"])
    assert not remap.val_dataloader.dataset.remap_mscoco_category
    assert not remap.postprocess.remap_mscoco_category


# --- includes and merging -------------------------------------------------------------------------


def test_merge_rules(write):
    write("base.yml", "num_classes: 5\nepoches: 1\nema: {decay: 0.5, warmups: 7}\n"
          "lr_scheduler: {milestones: [1, 2, 3]}\n" + WEIGHTS)  # fmt: skip
    write("more.yml", "epoches: 2\nema: {decay: 0.6}\n")
    top = write(
        "top.yml",
        "__include__: [base.yml, more.yml]\nlr_scheduler: {milestones: [9]}\nema: {warmups: 8}\n",
    )
    config = load_config(top)
    assert (config.num_classes, config.epoches) == (5, 2)  # a later include wins over an earlier
    assert (config.ema.decay, config.ema.warmups) == (
        0.6,
        8,
    )  # mappings merge, the file itself last
    assert config.lr_scheduler.milestones == (9,)  # lists are replaced
    assert "__include__" not in config.yaml


def test_a_value_replaces_a_mapping_and_the_other_way_round(write):
    write("base.yml", "lr_warmup_scheduler: {warmup_duration: 3}\n" + WEIGHTS)
    off = load_config(write("off.yml", "__include__: [base.yml]\nlr_warmup_scheduler: ~\n"))
    assert off.lr_warmup_scheduler is None
    on = load_config(
        write("on.yml", "__include__: [off.yml]\nlr_warmup_scheduler: {warmup_duration: 4}\n")
    )
    assert on.lr_warmup_scheduler is not None and on.lr_warmup_scheduler.warmup_duration == 4


def test_includes_are_relative_to_the_file_that_includes(write):
    """The layout of the official files: a configuration beside its includes, data beside those."""
    write("configs/dataset/coco.yml", "num_classes: 12\n")
    write("configs/runtime.yml", "epoches: 3\nprint_freq: 7\n" + WEIGHTS)
    write("configs/detector/include/model.yml", "HGNetv2: {name: X, freeze_at: 2}\n")
    write(
        "configs/detector/include/all.yml",
        "__include__: [../../dataset/coco.yml, ../../runtime.yml, ./model.yml]\nprint_freq: 8\n",
    )
    top = write(
        "configs/detector/large.yml",
        "__include__: ['include/all.yml']\nHGNetv2: {name: L}\nepoches: 4\n",
    )
    config = load_config(top)
    assert (config.num_classes, config.epoches, config.print_freq) == (12, 4, 8)
    assert (config.backbone.name, config.backbone.freeze_at) == ("L", 2)


def test_includes_from_home(write, monkeypatch, tmp_path):
    write("base.yml", "epoches: 9\n" + WEIGHTS)
    monkeypatch.setenv("HOME", str(tmp_path))
    top = write("deep/top.yml", "__include__: ['~/base.yml']\n")
    assert load_config(top).epoches == 9
    assert load_config("~/deep/top.yml").epoches == 9


@pytest.mark.parametrize("include", ["base.yml", "[base.yml]", "~", "[]"])
def test_ways_to_write_an_include(write, include):
    write("base.yml", "epoches: 9\n")
    config = load_config(write("top.yml", f"__include__: {include}\nnum_classes: 3\n{WEIGHTS}"))
    assert config.num_classes == 3
    assert config.epoches == (9 if "base" in include else 72)


def test_one_file_may_be_included_twice(write):
    write("base.yml", "epoches: 5\n" + WEIGHTS)
    write("left.yml", "__include__: [base.yml]\nepoches: 6\n")
    write("right.yml", "__include__: [base.yml]\nnum_classes: 3\n")
    config = load_config(write("top.yml", "__include__: [left.yml, right.yml]\n"))
    assert (config.epoches, config.num_classes) == (5, 3)


def test_numbers_without_a_point(write):
    """Plain YAML reads `1e-4` as text."""
    text = "optimizer: {lr: 1e-4, params: [{params: x, lr: 5e-6}]}\n"
    config = load_config(write("rates.yml", text + WEIGHTS))
    assert config.optimizer.lr == 1e-4 and config.optimizer.params[0].lr == 5e-6
    assert load_config(L, ["optimizer.lr=2e-5"]).optimizer.lr == 2e-5


def test_dates_are_text(write):
    config = load_config(write("dates.yml", "output_dir: 2026-11-23\n" + WEIGHTS))
    assert config.output_dir == "2026-11-23"


def test_what_an_alias_stands_for_changes_alone(write):
    text = "optimizer: {params: [&a {params: x, lr: 1}, *a, {<<: *a, params: y}]}\n"
    config = load_config(write("alias.yml", text + WEIGHTS), ["optimizer.params.0.lr=2"])
    assert [group.lr for group in config.optimizer.params] == [2, 1, 1]
    assert "&" not in config.to_yaml()


def test_sections_of_other_backbones_are_let_pass(write):
    config = load_config(write("file.yml", "PResNet: {depth: 50}\nHGNetv2: {name: L}\n" + WEIGHTS))
    assert "PResNet" in config.yaml and config.backbone.name == "L"


# --- overrides ------------------------------------------------------------------------------------


def test_overrides():
    config = load_config(
        L,
        [
            "HGNetv2.freeze_at=-1",
            "optimizer.params.0.lr=1e-7",
            "optimizer.params.1.params='^encoder.*$'",
            "eval_spatial_size=[320, 256]",
            "lr_warmup_scheduler=~",
            "use_ema=False",
            "ema={decay: 0.5}",
            "train_dataloader.dataset.transforms.ops.0.p=0.9",
            " epoches = 3",
        ],
    )
    assert config.backbone.freeze_at == -1
    assert [group.lr for group in config.optimizer.params] == [1e-7, None]
    assert config.optimizer.params[0].params == "^(?=.*backbone)(?!.*norm|bn).*$"
    assert config.optimizer.params[1].params == "^encoder.*$"
    assert config.eval_spatial_size == (320, 256)
    assert config.lr_warmup_scheduler is None and config.use_ema is False
    assert (config.ema.decay, config.ema.warmups) == (0.5, 2000)  # a mapping is merged
    assert config.train_dataloader.dataset.transforms.ops[0]["p"] == 0.9
    assert config.epoches == 3


def test_a_value_may_hold_an_equals_sign(official):
    pattern = "^(?=.*backbone).*$"
    config = official.override([f"optimizer.params.0.params={pattern}"])
    assert config.optimizer.params[0].params == pattern


def test_an_override_makes_another_configuration(official):
    config = official
    before = config.to_yaml()
    changed = config.override(["ema.decay=0.1", "optimizer.params.0.lr=3"])
    assert (changed.ema.decay, config.ema.decay) == (0.1, 0.9999)
    assert config.to_yaml() == before
    assert config.override([]) == config
    later = changed.override(["ema.warmups=5"])
    assert (later.ema.decay, later.ema.warmups) == (0.1, 5)


def test_an_override_reaches_what_the_file_does_not_name(official):
    assert official.override(["RTDETRTransformerv2.dropout=0.25"]).decoder.dropout == 0.25


AWKWARD = [
    "a #b",
    "a: b",
    "007",
    "1e3",
    "yes",
    "null",
    "${x}",
    "a\\${x} b",
    "[1",
    "~",
    "a=b",
    " a ",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_a_value_that_is_no_yaml_arrives_as_it_is(official, write, text):
    names = ["output_dir", "train_dataloader.dataset.img_folder"]
    config = official.with_values(dict.fromkeys(names, text))
    assert config.output_dir == config.train_dataloader.dataset.img_folder == text
    again = load_config(write("again.yml", config.to_yaml()))
    assert again.output_dir == again.train_dataloader.dataset.img_folder == text
    assert again.override(["epoches=3"]).output_dir == text
    assert official.output_dir != text


def test_values_reach_lists_and_unknown_keys_are_refused(official):
    changed = official.with_values({"optimizer.params.0.lr": 1e-5, "ema": {"decay": 0.5}})
    assert changed.optimizer.params[0].lr == 1e-5
    assert (changed.ema.decay, changed.ema.warmups) == (0.5, official.ema.warmups)
    assert official.override(["optimizer.params[0].lr=3"]).optimizer.params[0].lr == 3
    with pytest.raises(ConfigError, match="Did you mean 'epoches'"):
        official.with_values({"epochs": 3})
    with pytest.raises(ConfigError, match="the element '7' of a list of 2"):
        official.with_values({"optimizer.params.7.lr": 3})


def test_numbers_of_numpy_and_paths_are_plain_values(official, write):
    ops = "train_dataloader.dataset.transforms.ops.0.p"
    values = {"optimizer.lr": np.float64(1e-5), "epoches": np.int64(3), ops: np.float32(0.5)}
    config = official.with_values({**values, "output_dir": Path("a/b")})
    assert (config.optimizer.lr, config.epoches, config.output_dir) == (1e-5, 3, "a/b")
    again = load_config(write("again.yml", config.to_yaml()))
    assert again.train_dataloader.dataset.transforms.ops[0]["p"] == 0.5


def test_yaml_goes_round(write):
    config = load_config(L, ["HGNetv2.freeze_at=2", "optimizer.lr=1e-5", "lr_warmup_scheduler=~"])
    again = load_config(write("again.yml", config.to_yaml()))
    assert plain(again) == plain(config)
    assert again.optimizer == config.optimizer and again.lr_warmup_scheduler is None


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=3", r"no key 'epochs'\. Did you mean 'epoches'\?"),
        ("hgnetv2.name=X", r"no key 'hgnetv2'\. Did you mean 'HGNetv2'\?"),
        ("HGNetv2.freez_at=1", r"section HGNetv2, .*'freez_at'\. Did you mean 'freeze_at'\?"),
        (
            "RTDETRCriterionv2.matcher.alph=1",
            r"section RTDETRCriterionv2, .*'matcher\.alph'\. Did you mean 'alpha'\?",
        ),
        (
            "train_dataloader.dataset.imgfolder=x",
            r"section train_dataloader, .*'dataset\.imgfolder'\. Did you mean 'img_folder'\?",
        ),
        (
            "optimizer.params.0.rl=1",
            r"section optimizer, .*'params\.0\.rl'\. Known keys are: lr, params, weight_decay\.",
        ),
        ("something.else=1", r"no key 'something'\. Known keys are: .*HGNetv2"),
        (
            "HGNetv2.freeze_at=x",
            r"section HGNetv2, key 'freeze_at' is 'x': expected `int`, got `str`",
        ),
        (
            "optimizer.params.0.lr=abc",
            r"optimizer, key 'params\.0\.lr' is 'abc': expected `float \| null`",
        ),
        ("num_classes=3.5", r"in the top level, key 'num_classes' is 3\.5: expected `int`"),
        ("use_ema=maybe", r"in the top level, key 'use_ema' is 'maybe': expected `bool`"),
        (
            "eval_spatial_size=[320,abc]",
            r"the top level, key 'eval_spatial_size\.1' is 'abc': expected",
        ),
        ("HGNetv2.return_idx=3", r"section HGNetv2, key 'return_idx'"),
        ("HGNetv2=3", r"section HGNetv2 is 3; expected a mapping"),
        ("HGNetv2.name=B4", r"HGNetv2\.name is 'B4'; expected H, L, X\."),
        ("RTDETR.backbone=PResNet", r"RTDETR\.backbone is 'PResNet'; expected HGNetv2\."),
        ("criterion=SetCriterion", r"criterion is 'SetCriterion'; expected RTDETRCriterionv2\."),
        ("optimizer.type=SGD", r"optimizer\.type is 'SGD'; expected AdamW\."),
        ("RTDETRTransformerv2.cross_attn_method=nearest", r"'nearest'; expected default, discrete"),
        (
            "RTDETRTransformerv2.query_select_method=best",
            r"'best'; expected agnostic, default, one2many",
        ),
        ("RTDETRTransformerv2.num_points=abc", r"num_points is 'abc'; expected one number"),
        ("RTDETRTransformerv2.num_levels=4", r"num_points is \[4, 4, 4\]; .* a list of 4"),
        ("RTDETRCriterionv2.losses=[vfl,masks]", r"losses is \['vfl', 'masks'\]; expected vfl or"),
        ("RTDETRCriterionv2.boxes_weight_format=diou", r"'diou'; expected None, giou, iou"),
        ("RTDETRCriterionv2.weight_dict=3", r"key 'weight_dict' is 3: expected `mapping`"),
        ("RTDETRCriterionv2.weight_dict.loss_vfl=x", r"'weight_dict\.loss_vfl' is 'x': expected"),
        (
            "RTDETRCriterionv2.matcher.weight_dict.cost_mask=1",
            r"'cost_mask'\]; expected \['cost_bb",
        ),
        ("optimizer.params.0=~", r"'params\.0' is None: expected `mapping`, got `null`"),
        ("checkpoint_freq=0", r"checkpoint_freq is 0; expected 1 or more"),
        ("eval_freq=0", r"eval_freq is 0; expected 1 or more"),
        ("ema.warmups=0", r"ema\.warmups is 0; expected 1 or more"),
        ("seed=-5", r"seed is -5; expected 0 or more"),
        ("val_dataloader.num_workers=-1", r"val_dataloader\.num_workers is -1; expected 0 or more"),
        (
            "eval_spatial_size=[64]",
            r"'eval_spatial_size' is \[64\]: expected `list` of length 2",
        ),
        ("HGNetv2.return_idx=[1,2,7]", r"return_idx is \(1, 2, 7\); expected numbers of stages"),
        ("optimizer.lr=.nan", r"optimizer\.lr is nan; expected a number, 0 or more"),
        ("optimizer.params.0.lr=-1", r"optimizer\.params\.0\.lr is -1\.0; expected a number, 0 or"),
        ("optimizer.betas=[2,3]", r"optimizer\.betas is \(2\.0, 3\.0\); expected two numbers"),
        ("use_ema=!!bool maybe", r"cannot be applied: a value does not fit its tag"),
        ("use_ema=!!timestamp x", r"cannot be applied: a value does not fit its tag"),
        ("use_ema=!!int ''", r"cannot be applied: a value does not fit its tag"),
        ("RTDETRCriterionv2.weight_dict={3: 4}", r"key 'weight_dict' is {.*expected `str`"),
        ("optimizer.lr=!!int x", r"'optimizer\.lr=!!int x' cannot be applied"),
        ("optimizer.params=&a [*a]", r"cannot be applied: maximum recursion depth"),
        ("no assignment", r"'no assignment' is not an assignment; expected section\.key=value"),
        ("=3", r"'=3' is not an assignment"),
        ("optimizer.params.7.lr=3", r"'optimizer\.params\.7\.lr=3' cannot be applied"),
        ("optimizer.lr=[1", r"'optimizer\.lr=\[1' cannot be applied"),
    ],
)
def test_overrides_that_are_refused(official, override, message):
    with pytest.raises(ConfigError, match=message):
        official.override([override])


def test_wrong_keys_in_a_file_name_the_file(write):
    path = write("mine.yml", "HGNetv2: {freezenorm: True}\n")
    assert refusal(path).startswith(f"{path}: in section HGNetv2, there is no key 'freezenorm'.")


def test_weights_that_are_missing(write):
    text = "RTDETRCriterionv2: {weight_dict: {loss_vfl: 1}}\n"
    assert "expected at least ['loss_bbox', 'loss_giou']" in refusal(write("a.yml", text))
    text = (
        "RTDETRCriterionv2:\n  weight_dict: {loss_vfl: 1, loss_bbox: 5, loss_giou: 2}\n"
        "  matcher: {weight_dict: {cost_class: 1}}\n"
    )
    assert "matcher.weight_dict is ['cost_class']" in refusal(write("b.yml", text))


def test_unknown_names():
    assert "rtdetrv2_hgnetv2_l_6x_coco" in refusal("rtdetrv2_hgnetv2_m")
    assert "There is no configuration 'rtdetrv2_hgnetv2'" in refusal("rtdetrv2_hgnetv2")  # which?
    assert "There is no configuration" in refusal("nowhere/rtdetrv2_hgnetv2_l.yml")


def test_files_that_are_no_configuration(write, tmp_path):
    assert "not a YAML file" in refusal(write("weights.pth", "PK"))
    assert "cannot be read as YAML" in refusal(write("broken.yml", "a: [1\nb: 2\n"))
    assert "cannot be read as YAML" in refusal(write("binary.yml", "a: \x00\x01\n"))
    assert "holds a list; expected a mapping" in refusal(write("list.yml", "[1, 2]\n"))
    assert "the key 'epoches' comes twice" in refusal(write("t.yml", "epoches: 1\nepoches: 2\n"))
    assert "cannot be read as YAML" in refusal(write("loop.yml", "optimizer: &a {params: *a}\n"))
    assert "no key '3'" in refusal(write("number.yml", "3: 4\n"))
    latin = tmp_path / "latin.yml"
    latin.write_bytes(b"output_dir: caf\xe9\n")
    assert "cannot be read as YAML" in refusal(latin)


def test_missing_include(write):
    top = write("top.yml", "__include__: [middle.yml]\n")
    write("middle.yml", "__include__: [gone.yml]\n")
    message = refusal(top)
    assert "There is no file" in message and "gone.yml" in message
    assert "middle.yml includes" in message and "top.yml" not in message


@pytest.mark.parametrize(
    ("include", "message"),
    [("3", "expected a list of YAML files"), ("[3]", "expected a list"), ("[~]", "expected a list"),
     ("['~nobody_of_that_name/a.yml']", "There is no file"), ('["a\\0.yml"]', "cannot be read")],
)  # fmt: skip
def test_includes_that_cannot_be_read(write, include, message):
    assert message in refusal(write("top.yml", f"__include__: {include}\n{WEIGHTS}"))
    assert "There is no file" in refusal("~nobody_of_that_name/a.yml")


def test_include_loop(write):
    write("a.yml", "__include__: [b.yml]\n")
    write("b.yml", "__include__: [c.yml]\n")
    loop = write("c.yml", "__include__: [a.yml]\n")
    assert "includes itself" in refusal(loop)
    assert "includes itself" in refusal(write("self.yml", "__include__: [self.yml]\n"))


def test_what_a_file_does_not_say_has_the_official_default(write):
    config = load_config(write("little.yml", WEIGHTS))
    assert (config.num_classes, config.epoches, config.use_ema) == (80, 72, False)
    assert config.backbone.freeze_at == -1 and not config.backbone.freeze_norm
    assert config.lr_warmup_scheduler is None
    assert config.loss.alpha == 0.2 and config.loss.losses == ("vfl", "boxes")


def test_an_empty_file_lacks_the_weights(write):
    assert "expected at least ['loss_bbox', 'loss_giou']" in refusal(write("empty.yml", ""))
