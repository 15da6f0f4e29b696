"""Each contradiction of a configuration with its length, data and processes; and sound ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.diagnostics.preflight.configuration import look_at_configuration, stops_at_once
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING
from tests.paths import DATA


def training_of(config: Config, **changes) -> Training:
    plain = Training(
        config, Path("tuning.pth"), None, Path("out"), source=open_data(DATA / "shapes")
    )
    return replace(plain, **changes)


def levels(training: Training) -> list[str]:
    return [found.level for found in look_at_configuration(training).findings]


def test_a_sound_configuration_has_notes_at_most(sound):
    assert set(levels(training_of(sound))) <= {NOTE}
    assert not stops_at_once(training_of(sound))


@pytest.mark.parametrize(
    ("overrides", "where", "words"),
    [
        (["lr_scheduler.milestones=[8,12]"], "lr_scheduler.milestones", "epoch 12"),
        # 16 steps an epoch: the warm-up ends in the fifth, so that 7 comes in the eleventh.
        (
            ["lr_scheduler.milestones=[6]", "lr_warmup_scheduler.warmup_duration=80"],
            "lr_scheduler.milestones",
            "after 4",
        ),
        (["train_dataloader.total_batch_size=65"], "train_dataloader", "64 to train on"),
        (["train_dataloader.batch_size=4"], "train_dataloader", "one of the two"),
        (["val_dataloader.total_batch_size=null"], "val_dataloader", "one of the two"),
        (["optimizer.params.1.params='.*'"], "optimizer.params", "two patterns"),
        (["optimizer.lr=0", "optimizer.params.0.lr=0"], "optimizer.lr", "Every learning rate is 0"),
    ],
)
def test_a_contradiction_is_in_the_way(sound, overrides, where, words):
    part = look_at_configuration(training_of(sound.override(overrides)))
    (found,) = [finding for finding in part.findings if finding.level == FAILURE]
    assert found.where.startswith(where) and words in found.what


@pytest.mark.parametrize(
    "overrides",
    [
        ["lr_scheduler.milestones=[8,9]"],
        ["lr_scheduler.milestones=[5]", "lr_warmup_scheduler.warmup_duration=80"],
        ["train_dataloader.total_batch_size=64"],
        ["train_dataloader.total_batch_size=65", "train_dataloader.drop_last=False"],
        ["lr_scheduler.milestones=[1000]"],
    ],
)
def test_what_just_fits_is_not(sound, overrides):
    assert FAILURE not in levels(training_of(sound.override(overrides)))


def test_the_official_files_switch_the_schedule_off():
    training = training_of(load_config("rtdetrv2_hgnetv2_l"))
    findings = look_at_configuration(training).findings
    (found,) = [finding for finding in findings if "milestones" in finding.where]
    assert found.level == NOTE and "stays" in found.what


def test_a_batch_that_processes_cannot_share(sound):
    assert FAILURE not in levels(training_of(sound, processes=2))
    training = training_of(sound, processes=3)
    wrong = [f for f in look_at_configuration(training).findings if f.level == FAILURE]
    assert [f.where.partition(".")[0] for f in wrong] == ["train_dataloader", "val_dataloader"]
    assert "the nearest is 3" in wrong[0].action
    assert stops_at_once(training)


def test_random_layers_that_are_frozen(sound):
    frozen = sound.override(["HGNetv2.freeze_at=0", "HGNetv2.freeze_norm=True"])
    without = look_at_configuration(training_of(frozen, tuning=None)).findings
    assert [f.level for f in without if "HGNetv2" in f.where] == [WARNING, WARNING]
    assert "HGNetv2" not in str(look_at_configuration(training_of(frozen)).findings)


def test_a_download_is_refused_only_where_it_would_be_needed(sound):
    asking = sound.override(["HGNetv2.pretrained=True"])
    assert FAILURE not in levels(training_of(asking))
    assert stops_at_once(training_of(asking, tuning=None))


def test_steps_epochs_and_evaluations_are_counted(sound):
    training = training_of(sound)
    assert (training.steps_per_epoch, training.total_steps, training.epochs) == (16, 160, 10)
    assert training.evaluations == 10
    short = training_of(sound, max_steps=40)
    assert (short.total_steps, short.epochs, short.evaluations) == (40, 2, 3)
    uneven = training_of(sound.override(["train_dataloader.total_batch_size=10"]), processes=2)
    assert uneven.steps_per_epoch == 6
    kept = uneven.config.override(["train_dataloader.drop_last=False"])
    assert training_of(kept, processes=2).steps_per_epoch == 7


def test_the_largest_and_the_mean_picture(sound):
    plain = training_of(sound)
    assert plain.largest_hw == (96, 96) and plain.mean_area == 96 * 96
    scaled = sound.override(["train_dataloader.collate_fn.scales=[64,96,128]"])
    drawn = training_of(scaled.override(["train_dataloader.collate_fn.stop_epoch=8"]))
    assert drawn.largest_hw == (128, 128)
    mean = (64**2 + 96**2 + 128**2) / 3
    assert drawn.mean_area == pytest.approx(0.8 * mean + 0.2 * 96**2)
    never = training_of(scaled.override(["train_dataloader.collate_fn.stop_epoch=0"]))
    assert never.largest_hw == (96, 96)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.lr=0", "The learning rate of optimizer.lr is 0."),
        ("optimizer.params.0.lr=0", "The learning rate of optimizer.params.0 is 0."),
        ("RTDETRCriterionv2.weight_dict={loss_vfl: 0, loss_bbox: 5, loss_giou: 2}",
         "loss_vfl has a weight of 0."),
    ],
)  # fmt: skip
def test_what_is_not_trained_is_a_warning(sound, override, words):
    findings = look_at_configuration(training_of(sound.override([override]))).findings
    (found,) = [finding for finding in findings if finding.level == WARNING]
    assert found.what == words
