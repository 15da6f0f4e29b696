"""Runs of the official code, with its real log text and with a stand-in for its program."""

import json
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.coco_categories import STATISTICS
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config, shipped_configs
from rtdetr_nb.errors import ConfigError, RunError
from rtdetr_nb.official.command import OfficialCheckout, OfficialOptions, official_override
from rtdetr_nb.official.load_check import check_load
from rtdetr_nb.official.log import OfficialLogReader, read_official_log
from rtdetr_nb.official.runs import (
    import_official_log,
    official_verdict,
    open_official,
    start_official_run,
)
from rtdetr_nb.runs.records import TuningRecord, events, is_step
from rtdetr_nb.runs.run import Run, attach_run
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING
from tests.paths import REFERENCE

LOG = (REFERENCE / "official_log.txt").read_text()
TUNING_LOG = (REFERENCE / "official_tuning_log.txt").read_text()

# Plays the official tools/train.py: says what it would say, then does what PLAY says.
STAND_IN = """
import os, signal, sys, time
print("arguments:", sys.argv[1:])
print({tuning_log!r}, end="")
print({log!r}, end="")
play = os.environ.get("PLAY", "finish")
if play == "fail":
    raise KeyError("model")
if play == "hang":
    if os.fork() == 0:  # a worker, which shares the output
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hanging")
    time.sleep(60)
"""


def records_of(text: str, **settings: object) -> list[Any]:
    reader = OfficialLogReader(**settings)  # type: ignore[arg-type]
    return [record for line in text.splitlines() for record in reader.read(line)]


@pytest.fixture(scope="module")
def checkout_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository, with the stand-in as its program."""
    root = tmp_path_factory.mktemp("clones") / "a clone of RT-DETR"
    inner = root / "rtdetrv2_pytorch"
    for name in ("src/solver/det_solver.py", "src/zoo/rtdetr/rtdetrv2_decoder.py"):
        (inner / name).parent.mkdir(parents=True, exist_ok=True)
        (inner / name).touch()
    configs = inner / "configs" / "rtdetrv2"
    configs.mkdir(parents=True)
    for name in shipped_configs():
        (configs / f"{name}.yml").write_text(load_config(name).to_yaml())
    (configs / "rtdetrv2_r50vd_6x_coco.yml").write_text("RTDETR: {backbone: PResNet}\n")
    (inner / "tools").mkdir()
    program = STAND_IN.format(tuning_log=TUNING_LOG, log=LOG)
    (inner / "tools" / "train.py").write_text(program)
    return root


@pytest.fixture(scope="module")
def checkout(checkout_folder: Path) -> OfficialCheckout:
    return open_official(checkout_folder)


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuning file with all 400 backbone tensors of HGNetv2-L, as the reference log had it."""
    keys = model_keys(load_config("rtdetrv2_hgnetv2_l"))
    backbone = {k: torch.zeros(i.shape) for k, i in keys.items() if k.startswith("backbone.")}
    path = tmp_path_factory.mktemp("tuning") / "tuning.pth"
    torch.save({"model": backbone}, path)
    return path


# ------------------------------------------------------------------------------------ the log


def test_the_real_log_becomes_records_like_ours() -> None:
    records = records_of(LOG, epochs=3, facts={"seed": 0})
    kinds = [record.get("event", "step") for record in records]
    assert kinds == ["start", "step", "step", "step", "evaluation"]
    assert records[0] == {
        "event": "start",
        "step": 0,
        "total_steps": 24,
        "steps_per_epoch": 8,
        "trainable_parameters": 32756258,
        "seed": 0,
    }
    steps: list[Any] = [record for record in records if is_step(record)]
    assert [record["step"] for record in steps] == [1, 2, 8]
    assert [record["loss"] for record in steps] == [42.4445, 41.5020, 38.4345]
    assert [record.get("loss_epoch_mean") for record in steps] == [42.4445, 41.9733, 39.1842]
    assert steps[2]["loss_vfl"] == 0.2390 and steps[2]["loss_bbox_aux_0"] == 1.2263
    assert {"loss_giou_dn_0", "loss_vfl_enc_0"} <= set(steps[0])
    assert steps[0]["lr"] == [5e-5] and steps[0]["epoch"] == 0
    assert steps[0]["seconds"] >= steps[0]["data_seconds"] > 0
    evaluation = records[-1]
    assert tuple(evaluation["statistics"]) == STATISTICS
    assert evaluation["statistics"]["AP50"] == 0.002
    assert evaluation["statistics"]["AR_10"] == 0.003
    assert evaluation["statistics"]["AR_medium"] == 0.007
    assert (evaluation["step"], evaluation["epoch"]) == (8, 1)


def test_steps_count_over_the_whole_run_and_with_gpu_memory_and_days() -> None:
    line = (
        "Epoch: [2]  [ 100/3388]  eta: 1 day, 2:03:04  lr: 0.000050  loss: 16.6600 (14.0900)  "
        "loss_vfl: 0.8000 (0.7000)  time: 0.5000  data: 0.0100  max mem: 12345"
    )
    start, step = records_of(line)
    assert start["step"] == 2 * 3388 and start["total_steps"] is None
    assert step["step"] == 2 * 3388 + 101
    assert (step["loss"], step["loss_epoch_mean"], step["loss_vfl"]) == (16.66, 14.09, 0.8)
    assert set(step) == {"step", "epoch", "lr", "loss", "loss_epoch_mean", "loss_vfl", "seconds",
                         "data_seconds"}  # fmt: skip


def test_what_no_box_has_is_no_figure() -> None:
    text = LOG.replace(
        "area= small | maxDets=100 ] = 0.000", "area= small | maxDets=100 ] = -1.000"
    )
    assert text != LOG
    (evaluation,) = events(records_of(text), "evaluation")
    assert evaluation["statistics"]["AP_small"] is None
    assert evaluation["statistics"]["AP"] == 0.0


def test_the_load_line_is_a_record() -> None:
    (record,) = records_of(TUNING_LOG)
    assert record["event"] == "tuning" and record["file"] == "/data/demo/tuning.pth"
    assert len(record["missed"]) == 469 and record["unmatched"] == []


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("Traceback (most recent call last):\n  File 'x'\n    y\nKeyError: 'model'\n",
         ("KeyError", "'model'")),
        ("[rank1]: Traceback (most recent call last):\n[rank1]:   File 'x'\n"
         "[rank1]: torch.OutOfMemoryError: CUDA out of memory.\n"
         "Traceback (most recent call last):\n  File 'y'\n"
         "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n",
         ("OutOfMemoryError", "CUDA out of memory.")),
        ("Loss is nan, stopping training\n", ("NonFiniteLoss", "The loss is nan; the training "
                                              "stopped.")),
        (LOG, None),
    ],
)  # fmt: skip
def test_how_a_log_ended(text: str, failure: tuple[str, str] | None) -> None:
    reader = OfficialLogReader()
    for line in text.splitlines():
        reader.read(line)
    assert reader.failure == failure


def test_processes_that_do_not_find_each_other_are_told() -> None:
    line = "Not init distributed mode."
    assert records_of(line) == []
    (finding,) = records_of(line, processes=4)
    assert finding["level"] == FAILURE and "4 processes" in finding["what"]


def test_a_finished_log_txt_becomes_a_run(tmp_path: Path) -> None:
    lines = [
        {"train_lr": 5e-5, "train_loss": 40.0 - epoch, "train_loss_vfl": 0.3,
         "test_coco_eval_bbox": [0.1, 0.2, *[-1.0] * 10], "epoch": epoch, "n_parameters": 3}
        for epoch in range(2)
    ]  # fmt: skip
    log = tmp_path / "log.txt"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = import_official_log(log, tmp_path / "run", steps_per_epoch=8)
    assert run.status == "finished" and attach_run(tmp_path / "run") == run
    assert list(run.history.index) == [8, 16]
    assert run.history["loss"].tolist() == [40.0, 39.0]
    assert run.history["lr_0"].tolist() == [5e-5, 5e-5]
    figures = run.evaluations[1]["statistics"]
    assert (figures["AP"], figures["AP50"], figures["AR_large"]) == (0.1, 0.2, None)
    assert [r["step"] for r in read_official_log(log) if is_step(r)] == [1, 2]
    with pytest.raises(RunError, match="There is a run in"):
        import_official_log(log, tmp_path / "run")


def test_a_printed_log_becomes_a_run(tmp_path: Path) -> None:
    run = import_official_log(REFERENCE / "official_log.txt", tmp_path / "run")
    assert list(run.history.index) == [1, 2, 8]


@pytest.mark.parametrize("text", ["", "hello\n", '{"epoch": 0}\n', "{broken\n"])
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    log = tmp_path / "log.txt"
    log.write_text(text)
    with pytest.raises(RunError, match="is not a log"):
        read_official_log(log)
    with pytest.raises(RunError, match="cannot be read"):
        read_official_log(tmp_path / "none")


# -------------------------------------------------------------------- the checkout, its commands


def test_the_repository_and_its_inner_folder_are_known(checkout_folder: Path) -> None:
    inner = checkout_folder / "rtdetrv2_pytorch"
    assert open_official(checkout_folder) == open_official(inner) == OfficialCheckout(inner)
    assert open_official(inner).configs == tuple(
        f"configs/rtdetrv2/{name}.yml" for name in shipped_configs() if "hgnetv2" in name
    )


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        open_official(tmp_path / "nowhere")
    with pytest.raises(RunError, match="neither tools/train.py nor rtdetrv2_pytorch/"):
        open_official(tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "train.py").touch()
    with pytest.raises(RunError, match="the first RT-DETR"):
        open_official(tmp_path)


def test_the_command_for_one_gpu(checkout: OfficialCheckout, tuning: Path, tmp_path: Path) -> None:
    command = checkout.command(
        "rtdetrv2_hgnetv2_l_6x_coco",
        tuning=tuning,
        output_dir=tmp_path / "a run",
        seed=0,
        use_amp=True,
        overrides=["optimizer.lr=1e-5", "epoches=3"],
    )
    config = checkout.folder / "configs/rtdetrv2/rtdetrv2_hgnetv2_l_6x_coco.yml"
    assert command.words == (
        *("python", "tools/train.py", "-c", str(config), "-t", str(tuning)),
        *("--output-dir", str(tmp_path / "a run"), "--seed=0", "--use-amp"),
        *("-u", "HGNetv2.pretrained=False", "optimizer.lr=1.0e-05", "epoches=3"),
    )
    # Both paths have spaces: the shell must see them whole.
    assert shlex.split(str(command)) == ["cd", str(checkout.folder), "&&", *command.words]


def test_the_commands_for_several_gpus_and_for_evaluation(
    checkout: OfficialCheckout, tuning: Path
) -> None:
    config = checkout.configs[0]
    words = checkout.command(config, processes=4, master_port=9909).words
    assert words[:4] == ("torchrun", "--master_port=9909", "--nproc_per_node=4", "tools/train.py")
    words = checkout.command(config, processes=2, python="/bin/python3").words
    assert words[:4] == ("/bin/python3", "-m", "torch.distributed.run", "--nproc_per_node=2")
    words = checkout.command(config, resume=tuning, test_only=True, device="cpu").words
    assert {"-r", str(tuning), "--test-only", "-d", "cpu"} <= set(words)
    own = "HGNetv2.pretrained=/data/weights.pth"
    words = checkout.command(config, overrides=[own]).words
    assert [word for word in words if "pretrained" in word] == [own]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuning": "a", "resume": "b"}, "not both"),
        ({"tuning": "nowhere.pth"}, "no tuning file .*nowhere.pth"),
        ({"test_only": True}, "give weights"),
        ({"processes": 0}, "at least 1"),
        ({"overrides": ["optimizer.params.0.lr=1"]}, "element of a list"),
        ({"overrides": ["epoches"]}, "not an assignment"),
    ],
)
def test_commands_that_cannot_be(
    checkout: OfficialCheckout, options: dict[str, object], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        checkout.command(checkout.configs[0], **options)  # type: ignore[arg-type]


def test_a_configuration_that_is_not_there_names_those_that_are(checkout: OfficialCheckout) -> None:
    with pytest.raises(RunError, match="The checkout has .*rtdetrv2_hgnetv2_x_6x_coco.yml"):
        checkout.command("rtdetrv2_hgnetv2_xl")


@pytest.mark.parametrize("value", ["1e-5", "2.5E6", "-1.e+3", "3", "0.1", "[1, 2]", "1.0e-05"])
def test_numbers_reach_the_official_yaml_reader_as_numbers(value: str) -> None:
    key, _, said = official_override(f"a.b={value}").partition("=")
    assert key == "a.b"
    expected = json.loads(value) if value.startswith("[") else float(value)
    assert yaml.safe_load(said) == expected


# ----------------------------------------------------------------------------------- the runs


def run_stand_in(
    checkout: OfficialCheckout, folder: Path, tuning: Path | None, config: Config | None = None
) -> Run:
    config = config or load_config("rtdetrv2_hgnetv2_l", ["epoches=2", "seed=5"])
    return start_official_run(checkout, config, output_dir=folder, tuning=tuning, device="cpu")


def test_an_official_run_is_a_run(checkout: OfficialCheckout, tuning: Path, tmp_path: Path) -> None:
    run = run_stand_in(checkout, tmp_path / "run", tuning)
    assert run.wait(timeout=60) == "finished", run.error
    assert list(run.history.index) == [1, 2, 8]
    assert run.history.loc[8, "loss"] == 38.4345
    (start,) = events(run.records, "start")
    expected = {"total_steps": 16, "seed": 5, "device": "cpu"}
    assert start.items() >= expected.items()
    (loaded,) = events(run.records, "tuning")
    assert (loaded.get("loaded"), len(loaded["missed"]), loaded.get("unused")) == (400, 469, [])
    assert run.records[-1].get("event") == "end" and run.records[-1].get("step") == 8
    verdict = official_verdict(run)
    assert verdict == "ok" and "loaded 400 of 869 tensors" in verdict.text()
    assert run.description["official_command"][1] == "tools/train.py"
    log = (run.folder / "train.log").read_text()
    assert "'-d', 'cpu', '--seed=5'" in log and LOG in log
    # The program runs elsewhere: the data paths that it reads must not depend on where.
    written = load_config(run.folder / "config.yml")
    assert Path(written.train_dataloader.dataset.ann_file).is_absolute()


def test_own_configurations_of_the_checkout_find_their_data_there(
    checkout: OfficialCheckout, tmp_path: Path
) -> None:
    config = checkout.configs[0]
    run = start_official_run(checkout.folder, config, output_dir=tmp_path, overrides=["epoches=1"])
    assert run.wait(timeout=60) == "finished", run.error
    written = load_config(tmp_path / "config.yml")
    assert Path(written.val_dataloader.dataset.img_folder).is_relative_to(checkout.folder)
    assert written.epoches == 1 and "epoches=1" in run.description["official_command"]
    with pytest.raises(ConfigError, match="no key 'epochs'"):
        start_official_run(checkout, config, output_dir=tmp_path, overrides=["epochs=1"])


@pytest.mark.parametrize("name", ["rtdetrv2_hgnetv2_l", "rtdetrv2_hgnetv2_l_6x_coco"])
def test_a_run_starts_by_the_name_that_load_config_takes(
    checkout: OfficialCheckout, tmp_path: Path, name: str
) -> None:
    options = OfficialOptions(seed=7, overrides=["epoches=1"])
    run = start_official_run(checkout, name, output_dir=tmp_path, options=options, device="cpu")
    assert run.wait(timeout=60) == "finished", run.error
    words = run.description["official_command"]
    own = checkout.folder / "configs/rtdetrv2/rtdetrv2_hgnetv2_l_6x_coco.yml"
    assert words[words.index("-c") + 1] == str(own)
    assert {"--seed=7", "cpu", "epoches=1"} <= set(words)


def test_a_name_that_only_we_have_is_written_for_the_checkout(
    checkout: OfficialCheckout, tmp_path: Path
) -> None:
    run = start_official_run(checkout, "quick_run", output_dir=tmp_path, overrides=["epoches=3"])
    assert run.wait(timeout=60) == "finished", run.error
    words = run.description["official_command"]
    assert words[words.index("-c") + 1] == str(tmp_path / "config.yml")
    assert load_config(tmp_path / "config.yml").epoches == 3
    with pytest.raises(RunError, match="no option sed. Options are: tuning, resume"):
        start_official_run(checkout, "quick_run", output_dir=tmp_path, sed=3)


def test_what_cannot_be_started_leaves_the_run_that_is_there(
    checkout: OfficialCheckout, tmp_path: Path
) -> None:
    run = run_stand_in(checkout, tmp_path / "run", None)
    assert run.wait(timeout=60) == "finished", run.error
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    config = load_config("rtdetrv2_hgnetv2_l", ["epoches=7"])
    for wrong in (
        {"config": "nowhere.yml"},
        {"config": config, "tuning": "nowhere.pth"},
        {"config": config, "test_only": True},
        {"config": config, "overrides": ["epochs=1"]},
    ):
        with pytest.raises((RunError, ConfigError)):
            start_official_run(checkout, output_dir=run.folder, **wrong)  # type: ignore[arg-type]
        assert {path: path.read_bytes() for path in run.folder.iterdir()} == before
    again = run_stand_in(checkout, run.folder, None, config)
    assert again.wait(timeout=60) == "finished", again.error
    (kept,) = (run.folder / "previous").iterdir()
    for name in ("run.json", "config.yml", "metrics.jsonl"):
        assert (kept / name).read_bytes() == before[run.folder / name]
    assert len(again.history) == 3 and load_config(run.folder / "config.yml").epoches == 7


def test_data_paths_of_any_name_reach_the_official_code(
    checkout: OfficialCheckout, tmp_path: Path
) -> None:
    data = {"train_dataloader.dataset.img_folder": "my set #2"}
    config = load_config("rtdetrv2_hgnetv2_l").with_values(data)
    folder = tmp_path / "a #b"
    run = run_stand_in(checkout, folder, None, config)
    assert run.wait(timeout=60) == "finished", run.error
    content = yaml.safe_load((folder / "config.yml").read_text())
    assert content["train_dataloader"]["dataset"]["img_folder"] == str(Path.cwd() / "my set #2")
    assert str(folder) in run.description["official_command"]


def test_what_the_program_fails_of_is_the_error(
    checkout: OfficialCheckout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAY", "fail")
    bare = tmp_path / "bare.pth"
    torch.save({"stem.conv.weight": torch.zeros(1)}, bare)
    assert predict_official(bare, load_config("rtdetrv2_hgnetv2_l")).exception == "KeyError"
    run = run_stand_in(checkout, tmp_path / "run", bare)
    assert run.wait(timeout=60) == "failed"
    assert run.error.startswith("KeyError: 'model' (As predicted for this tuning file.)")
    assert events(run.records, "error")[0]["type"] == "KeyError"
    assert run.history.index[-1] == 8  # what came before the end is kept


@pytest.mark.parametrize(
    ("checkpoint", "left"),
    [(None, "there is no checkpoint"), (b"PK half", "not whole")],
)
def test_stop_ends_the_whole_program_and_says_what_is_left(
    checkout: OfficialCheckout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: bytes | None,
    left: str,
) -> None:
    monkeypatch.setenv("PLAY", "hang")
    run = run_stand_in(checkout, tmp_path / "run", None)
    deadline = time.monotonic() + 60
    while "hanging" not in run.log_tail() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.status == "running"
    with pytest.raises(RunError, match="A run is still going on in"):
        run_stand_in(checkout, tmp_path / "run", None)
    if checkpoint is not None:
        run.checkpoint.write_bytes(checkpoint)
    run.stop()
    # Its worker ignores SIGTERM and holds the output open.
    assert run.wait(timeout=20) == "stopped"
    (stop,) = events(run.records, "stop")
    message = stop.get("message", "")
    assert stop["step"] == 8 and "no graceful stop" in message and left in message


def test_stop_at_once_starts_nothing(checkout: OfficialCheckout, tmp_path: Path) -> None:
    run = run_stand_in(checkout, tmp_path / "run", None)
    assert run.status == "starting"
    run.stop()
    assert run.wait(timeout=60) == "stopped"
    assert events(run.records, "start") == [] and "arguments:" not in run.log_tail()


def test_a_program_that_cannot_be_started_is_one_sentence(
    checkout: OfficialCheckout, tmp_path: Path
) -> None:
    config = load_config("rtdetrv2_hgnetv2_l")
    run = start_official_run(checkout, config, output_dir=tmp_path / "run", python="/no/python")
    assert run.wait(timeout=60) == "failed"
    assert "/no/python cannot be started" in run.error


def test_a_load_line_that_differs_from_the_prediction_is_a_finding(tuning: Path) -> None:
    config = load_config("rtdetrv2_hgnetv2_l")
    prediction = predict_official(tuning, config)
    (record,) = records_of(TUNING_LOG)
    assert check_load(record, prediction, config).level == NOTE
    more: Any = {**record, "missed": [*record["missed"], "backbone.stem.stem1.conv.weight"]}
    finding = check_load(more, prediction, config)
    assert finding.level == WARNING
    assert "missed: 470 tensors, predicted 469" in finding.what
    assert "backbone.stem.stem1.conv.weight" in finding.what


def test_nothing_loaded_fails_the_verdict(tmp_path: Path) -> None:
    config = load_config("rtdetrv2_hgnetv2_l")
    useless = tmp_path / "useless.pth"
    torch.save({"model": {"stem.weight": torch.zeros(1)}}, useless)
    prediction = predict_official(useless, config)
    assert prediction.match is not None
    record: TuningRecord = {
        "event": "tuning",
        "step": 0,
        "file": None,
        "missed": list(prediction.match.missed),
        "unmatched": [],
    }
    finding = check_load(record, prediction, config)
    assert finding.level == FAILURE and "loaded nothing" in finding.what


def test_our_configurations_are_yaml_for_the_official_reader() -> None:
    """It reads YAML 1.1, where `1e-5` is text: every number must arrive as one."""
    for name in shipped_configs():
        content = yaml.safe_load(load_config(name).to_yaml())
        assert isinstance(content["optimizer"]["lr"], float)
        rates = [group["lr"] for group in content["optimizer"]["params"] if "lr" in group]
        assert rates and all(isinstance(rate, float) for rate in rates)


def test_data_that_only_this_kit_reads_is_refused(checkout: OfficialCheckout, tmp_path: Path):
    config = load_config("quick_run", [f"data={tmp_path / 'yolo'}"])
    with pytest.raises(RunError, match="does not know the key data.*write_coco"):
        start_official_run(checkout, config, output_dir=tmp_path / "run")
