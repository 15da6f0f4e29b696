import shlex

import pytest

from rtdetr_nb.cli.train import add_command
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.ui import commands as module
from rtdetr_nb.ui.commands import CopyText, training_commands


def parse(line: str):
    """Read a line as the command itself would."""
    import argparse

    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    words = shlex.split(line)
    return parser.parse_args(words[words.index("train") :])


def test_one_gpu():
    train, resume, test = training_commands(
        "rtdetrv2_hgnetv2_l", tuning="my file.pth", output_dir="runs/a b"
    ).lines.values()
    assert train == (
        "rtdetr-nb train -c rtdetrv2_hgnetv2_l -t 'my file.pth' --use-amp --seed=0 "
        "--output-dir 'runs/a b'"
    )
    assert str(parse(train).tuning) == "my file.pth" and parse(train).use_amp
    assert str(parse(resume).resume) == "runs/a b/last.pth"
    assert parse(resume).tuning is None
    assert parse(test).test_only and str(parse(test).resume) == "runs/a b/best.pth"


def test_several_gpus_and_overrides():
    lines = training_commands(
        "my.yml", num_gpus=4, use_amp=False, seed=3, overrides=["HGNetv2.freeze_at=-1", "epoches=2"]
    ).lines
    train = lines["Train on 4 GPUs"]
    assert train.startswith("torchrun --nproc_per_node=4 -m rtdetr_nb train -c my.yml")
    options = parse(train)
    assert options.update == ["HGNetv2.freeze_at=-1", "epoches=2"]
    assert options.seed == 3 and not options.use_amp


def test_the_official_command_is_added_for_a_checkout(tmp_path):
    config = "configs/rtdetrv2/rtdetrv2_hgnetv2_l_6x_coco.yml"
    code = ("tools/train.py", "src/solver/det_solver.py", "src/zoo/rtdetr/rtdetrv2_decoder.py")
    for name in (*code, config):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / config).write_text(load_config("rtdetrv2_hgnetv2_l").to_yaml())
    lines = training_commands("rtdetrv2_hgnetv2_l", num_gpus=2, official=tmp_path).lines
    line = lines["The same in the official repository, on 2 GPUs"]
    assert line.startswith(f"cd {tmp_path} && torchrun --nproc_per_node=2 tools/train.py -c")
    assert f"-c {tmp_path / config} --output-dir" in line
    assert "HGNetv2.pretrained=False" in line


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(RunError, match="number of GPUs is 0"):
        training_commands("l", num_gpus=0)
    with pytest.raises(RunError, match="not a checkout"):
        training_commands("l", official=tmp_path)


def test_shown_with_copy_buttons_and_as_text(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", lambda bundle, raw: shown.append(bundle))
    training_commands("a<b.yml")._ipython_display_()
    widget, static = shown
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert "a&lt;b.yml" in static["text/html"] and "<pre>" in static["text/html"]
    copied = CopyText(title="Train", text="rtdetr-nb train")
    assert copied.get_state(["title", "text"]) == {"title": "Train", "text": "rtdetr-nb train"}
