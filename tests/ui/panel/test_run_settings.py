import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import DatasetError, RunError, UserError
from rtdetr_nb.launchers.slurm import Slurm
from rtdetr_nb.runs.file_names import LAST_FILE, RUN_FILE
from rtdetr_nb.runs.previous import PreviousRun
from rtdetr_nb.ui.panel import run_settings as module
from rtdetr_nb.ui.panel.run_settings import FREEZING, RunSettings
from tests.checkpoint.wild import backbone, prefixed
from tests.checkpoint.wild import save as save_file
from tests.paths import DATA, ROOT
from tests.ui.fake_run import FakeRun

DEMO = DATA / "demo_backbone_mmdet.pth"

CONFIG = load_config("rtdetrv2_hgnetv2_x")


@pytest.fixture
def settings(shapes_folder, tmp_path) -> RunSettings:
    return RunSettings(data=str(shapes_folder), output=str(tmp_path / "run"), steps=12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 0}, "Steps is 0; expected 1 or more."),
        ({"batch_size": -1}, "Batch size is -1"),
        ({"seed": -1}, "Seed is -1"),
        ({"image_size": 100}, "expected a multiple of 32"),
        ({"image_size": 64}, "at least 96"),
        ({"learning_rate": float("nan")}, "Learning rate is nan; expected a number between 0 and"),
        ({"backbone_learning_rate": 2.0}, "Backbone learning rate is 2.0"),
        ({"freeze_at": 5}, "freeze_at is 5; expected -1 to 4"),
        ({"output": " "}, "There is no output folder"),
        ({"tuning": "nowhere.pth"}, "There is no tuning file nowhere.pth"),
        ({"device": "gpu"}, "The device is 'gpu'; expected cpu, cuda or cuda:N, or leave it empty"),
        ({"tuning": str(DEMO)}, "is no tuning file.*rtdetr-nb convert --input"),
        ({"data": "nowhere"}, "There is no nowhere"),
        ({"batch_size": 1000}, "Batch size is 1000, but data/shapes has 64 training pictures."),
        ({"tuning": "x" * 300}, "Tuning is 'xxx.*', which cannot be a path .File name too long"),
        ({"data": "x" * 300}, "Data is 'xxx"),
        ({"output": "a\0b"}, "which cannot be a path .embedded null byte"),
        ({"steps": 2.5}, "Steps is 2.5; expected a whole number"),
        ({"seed": True}, "Seed is True; expected a whole number"),
        ({"freeze_norm": 1}, "Freeze norm is 1; expected True or False"),
        ({"learning_rate": "1e-4"}, "Learning rate is '1e-4'; expected a number"),
        ({"backbone_of": CONFIG}, "Backbone of is of type Config; expected text"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(change, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=sentence):
        RunSettings(**change).check()


def test_a_file_is_looked_at_again_when_it_has_changed(whole_file, settings, tmp_path):
    tuning = tmp_path / "tuning.pth"
    shutil.copy(whole_file, tuning)
    given = replace(settings, tuning=str(tuning))
    with pytest.raises(UserError, match="is no tuning file"):
        given.check()
    save_file({"model": prefixed("backbone.", backbone())}, tuning)
    given.check()


def test_a_gpu_has_to_be_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="offers no GPU"):
        RunSettings(device="cuda:1").check()


def test_data_that_is_not_there_is_refused():
    with pytest.raises(DatasetError, match="There is no nowhere"):
        RunSettings(data="nowhere").config()


def test_every_setting_reaches_the_configuration(shapes_folder, settings):
    config = RunSettings(
        data=str(shapes_folder),
        backbone_of="rtdetrv2_hgnetv2_x",
        steps=12,
        batch_size=3,
        image_size=160,
        learning_rate=1e-3,
        backbone_learning_rate=2e-6,
        freeze_at=1,
        freeze_norm=True,
        use_amp=True,
        seed=9,
        device="cpu",
        preview_freq=4,
    ).config()
    assert config.train_dataloader.total_batch_size == 3
    assert config.eval_spatial_size == (160, 160)
    assert (config.optimizer.lr, config.optimizer.params[0].lr) == (1e-3, 2e-6)
    assert config.backbone.name == "X"
    assert (config.backbone.freeze_at, config.backbone.freeze_norm) == (1, True)
    assert (config.use_amp, config.seed, config.device) == (True, 9, "cpu")
    assert config.preview_freq == 4
    assert config.lr_warmup_scheduler is not None
    assert config.lr_warmup_scheduler.warmup_duration == 2


def test_warnings_are_for_what_stays_random():
    assert RunSettings().warnings() == []
    found = RunSettings(freeze_norm=True, freeze_at=0).warnings()
    assert "mean 0 and variance 1" in found[0] and "the stem stays random" in found[1]


@pytest.mark.parametrize("freeze_at", [1, 2, 3])
def test_frozen_stages_are_named_as_in_the_state_dict(freeze_at):
    """`freeze_at: 1` freezes the stem and the first stage, whose tensors begin with stages.0."""
    words = FREEZING[freeze_at]
    assert words.startswith("stem") and words.endswith(f"stages.{freeze_at - 1}")


def test_the_line_of_code_makes_the_same_settings(settings):
    line = settings.code().removesuffix(".start()").removeprefix("rt.")
    assert eval(line, {"RunSettings": RunSettings}) == settings
    assert RunSettings().code() == "rt.RunSettings().start()"


def test_paths_and_whole_numbers_are_taken_as_they_come(tmp_path):
    tuning = save_file({"model": prefixed("backbone.", backbone())}, tmp_path / "tuning.pth")
    settings = RunSettings(tuning=tuning, learning_rate=1)  # type: ignore[arg-type]
    settings.check()
    assert settings.tuning == str(tuning)
    assert eval(settings.code().removesuffix(".start()"), {"rt": module}) == settings


def test_starting_again_finds_the_run(settings, started):
    run = settings.start()
    assert started[0]["max_steps"] == 12 and started[0]["tuning"] is None
    assert settings.start() == run  # it goes on
    FakeRun(run.folder).describe("finished", number=1)
    assert settings.start() == run  # it has finished
    assert len(started) == 1


def test_another_run_in_the_folder_is_not_lost(settings, started):
    run = settings.start()
    other = RunSettings(data=settings.data, output=settings.output, steps=13)
    with pytest.raises(RunError, match="holds another run"):
        other.start()
    FakeRun(run.folder).describe("stopped")
    with pytest.raises(RunError, match=r"holds another run \(stopped\)"):
        settings.start()
    assert len(started) == 1
    other.start(replace=True)
    assert len(started) == 2


def test_resume_goes_on_from_the_last_state(settings, started):
    with pytest.raises(RunError, match="There is no run"):
        settings.resume()
    fake = FakeRun(Path(settings.output))
    with pytest.raises(RunError, match="goes on"):
        settings.resume()
    fake.describe("stopped")
    with pytest.raises(RunError, match="has no last.pth"):
        settings.resume()
    fake.run.checkpoint.touch()
    save(fake, 12)
    fake.evaluate(12, 0.1)
    with pytest.raises(RunError, match="has 12 steps already"):
        settings.resume()
    longer = RunSettings(data=settings.data, output=settings.output, steps=20)
    longer.resume()
    assert started[0]["resume"] == fake.run.checkpoint and started[0]["max_steps"] == 20


def save(fake: FakeRun, step: int) -> None:
    fake.append({"event": "checkpoint", "step": step, "file": LAST_FILE})


@pytest.mark.parametrize("saved", [10, 12])
def test_what_the_last_state_lacks_is_made_up_for(settings, started, saved):
    """Steps behind it, where the run was killed; or the evaluation, where it was stopped."""
    fake = FakeRun(Path(settings.output))
    fake.run.checkpoint.touch()
    for step in range(1, 13):
        fake.step(step)
        if step == saved:
            save(fake, step)
    fake.describe("stopped")
    settings.resume()
    assert started[0]["max_steps"] == 12


def failed_start(settings: RunSettings, **facts: object) -> FakeRun:
    """A run of 12 steps in the folder, and a start after it that failed before its first step."""
    fake = FakeRun(Path(settings.output))
    fake.run.checkpoint.touch()
    fake.step(5)
    save(fake, 5)
    fake.describe("stopped", started="first")
    PreviousRun(fake.folder).move_description_away([RUN_FILE])
    fake.fail("There is no picture folder x.", "")
    if facts:
        fake.describe("failed", **facts)
    return fake


def test_the_run_before_a_start_that_failed_is_gone_on_with(settings, started):
    fake = failed_start(settings)
    assert fake.run.records == [] and fake.run.has_earlier
    assert "restore_earlier() puts it back" in fake.run.error
    settings.resume()
    assert started[0]["resume"] == fake.run.checkpoint
    assert 5 in [record.get("step") for record in fake.run.records]
    assert not fake.run.has_earlier
    assert not (fake.folder / "previous").exists()


def test_a_run_that_failed_when_it_went_on_has_no_run_before_it(settings, started):
    fake = failed_start(settings, error="The file is damaged.", goes_on=True)
    assert not fake.run.has_earlier and not fake.run.restore_earlier()
    settings.resume()
    assert len(started) == 1


def test_where_a_run_trains_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "rtdetr_nb.ui.panel.run_settings.ensure_run", lambda _, **how: asked.update(how)
    )
    cluster = Slurm(partition="gpu", gpus=2, time="30")
    settings = RunSettings(data=str(DATA / "shapes"), output=str(tmp_path / "run"))
    replace(settings, launcher=cluster).start()
    assert asked["launcher"] == cluster and asked["processes"] == 1
    replace(settings, processes=2).start()
    assert asked["launcher"] is None and asked["processes"] == 2
    with pytest.raises(RunError, match="Processes is 0; expected 1 or more"):
        replace(settings, processes=0).start()
    with pytest.raises(RunError, match=r"Launcher is 'slurm'; expected rt\.Slurm"):
        replace(settings, launcher="slurm").check_kinds()  # type: ignore[arg-type]


def test_the_line_of_code_makes_the_launcher_too() -> None:
    settings = RunSettings(launcher=Slurm(partition="gpu", lines=["module load cuda"]))
    made = eval(settings.code().removesuffix(".start()"), {"rt": rt})
    assert made == settings


@pytest.mark.slow
def test_seeds_are_compared_with_random_weights(tmp_path: Path) -> None:
    rt.convert(DEMO, tmp_path / "tuning.pth", "rtdetrv2_hgnetv2_l")
    settings = RunSettings(
        data=str(DATA / "shapes"),
        output=str(tmp_path / "run"),
        tuning=str(tmp_path / "tuning.pth"),
        steps=2,
        image_size=96,
        batch_size=2,
        preview_freq=0,
    )
    found = settings.compare_seeds((0, 1))
    assert [run.folder.name for run in found.tuned] == ["tuned_0", "tuned_1"]
    assert [run.folder.name for run in found.random] == ["random_0", "random_1"]
    assert found.conclusion.claim == "none"  # two seeds of two steps decide nothing
    assert found.sentence in found._repr_html_() and "data:image/png" in found._repr_html_()
    again = settings.compare_seeds((0, 1))
    assert [run.folder for run in again.tuned] == [run.folder for run in found.tuned]
