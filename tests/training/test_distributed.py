"""Two processes on the CPU, connected over the loopback, as torchrun sets them up."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.loader import build_dataloader
from rtdetr_nb.errors import RunError
from rtdetr_nb.model.build import build_model, build_postprocessor
from rtdetr_nb.runs.run import attach_run
from rtdetr_nb.training.distributed import ALONE, Processes, join_processes, process_device
from rtdetr_nb.training.evaluate import predict
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.training.state import load_evaluated_weights
from tests.free_port import free_port
from tests.paths import ROOT
from tests.small_runs import (
    Child,
    TrainServer,
    await_steps,
    losses,
    narrow_backbone,
    narrow_config,
    steps,
)

PROGRAMS = "tests.training.rank_programs"


def write(config: Config, path: Path) -> Path:
    path.write_text(config.to_yaml())
    return path


def annotations_without(data: Path, split: str, target: Path, *, boxes_of_odd: bool) -> Path:
    """The annotations of `data` without the boxes of every second picture, or without the last."""
    content = json.loads((data / "annotations" / f"{split}.json").read_text())
    images = sorted(content["images"], key=lambda image: image["id"])
    if boxes_of_odd:
        empty = {image["id"] for image in images[1::2]}
        kept = [a for a in content["annotations"] if a["image_id"] not in empty]
        content["annotations"] = kept
    else:
        content["images"] = images[:-1]
    target.write_text(json.dumps(content))
    return target


def run_ranks(server: TrainServer, count: int, *arguments: object, output: Path) -> list[Any]:
    """Run a program of `rank_programs` in each rank; what they have saved, by rank."""
    result = output / "result"
    function, *rest = arguments
    words = ["call", PROGRAMS, function, *rest, result]
    children = server.start_ranks(count, *words, output=output / "log")
    assert [child.wait() for child in children] == [0] * count, children[0].text()
    return [output / f"result.{rank}" for rank in range(count)]


def norm(tensors: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))


def test_the_gradient_is_that_of_one_process_with_the_whole_batch(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    # Without denoising: how often its groups repeat depends on the pictures of a process.
    config = narrow_config(
        shapes_folder, "RTDETRTransformerv2.num_denoising=0", "clip_max_norm=0", batch_size=4
    )
    whole_file = write(config, tmp_path / "whole.yml")
    half_file = write(config.override(["train_dataloader.total_batch_size=2"]), tmp_path / "h.yml")
    folders = {name: tmp_path / name for name in ("two", "one", "half")}
    for folder in folders.values():
        folder.mkdir()
    results = {
        name: [torch.load(path) for path in run_ranks(
            train_server, count, "take_steps", file, 1, output=folders[name])]
        for name, count, file in [
            ("two", 2, whole_file), ("one", 1, whole_file), ("half", 1, half_file)
        ]
    }  # fmt: skip
    (one,), (half,) = results["one"], results["half"]
    for rank in results["two"]:
        assert rank["losses"] == pytest.approx(one["losses"], rel=1e-5)
        assert rank["gradients"].keys() == one["gradients"].keys()
        difference = {n: g - one["gradients"][n] for n, g in rank["gradients"].items()}
        # Measured: 3e-6; float32 sums in another order.
        assert norm(difference) < 1e-4 * norm(one["gradients"])
    # A gradient that is not averaged would be that of half the batch.
    difference = {n: g - one["gradients"][n] for n, g in half["gradients"].items()}
    assert norm(difference) > 0.1 * norm(one["gradients"])


def test_parameters_stay_identical_also_where_one_process_sees_no_box(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    annotations = annotations_without(
        shapes_folder, "train", tmp_path / "train.json", boxes_of_odd=True
    )
    config = narrow_config(
        shapes_folder,
        f"train_dataloader.dataset.ann_file={annotations}",
        "train_dataloader.shuffle=False",  # every second picture is dealt to the second process
    )
    file = write(config, tmp_path / "config.yml")
    paths = run_ranks(train_server, 2, "take_steps", file, 3, output=tmp_path)
    first, second = (torch.load(path) for path in paths)
    assert len(first["losses"]) == 3 and all(map(math.isfinite, first["losses"]))
    assert first["losses"] == second["losses"]
    for name, value in first["parameters"].items():
        assert torch.equal(value, second["parameters"][name]), name


def test_a_bad_picture_in_one_process_ends_all_with_its_name(
    train_server: TrainServer, narrow_file: Path, tmp_path: Path
) -> None:
    paths = run_ranks(
        train_server, 2, "take_one_step_with_a_bad_picture", narrow_file, output=tmp_path
    )
    first, second = (path.read_text() for path in paths)
    assert first == second
    assert first.startswith("NonFiniteLossError: At step 0 the loss is nan")
    named = json.loads(first.partition("images of the batch: ")[2].partition(".")[0])
    assert len(named) == 1  # of the two pictures of the batch, the one of the second process


def test_an_evaluation_is_given_up_by_all_also_by_those_without_pictures(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    three = annotations_without(shapes_folder, "val", tmp_path / "val.json", boxes_of_odd=False)
    file = write(
        narrow_config(shapes_folder, f"val_dataloader.dataset.ann_file={three}"),
        tmp_path / "config.yml",
    )
    paths = run_ranks(train_server, 2, "give_up_an_evaluation", file, output=tmp_path)
    said = [torch.load(path) for path in paths]
    assert [each["pictures"] for each in said] == [2, 1]
    assert all(each["asked"] == 2 and each["training"] for each in said)


def start(server: TrainServer, count: int, file: Path, folder: Path, *flags: object) -> list[Child]:
    words = ["train", "-c", file, "--output-dir", folder, *flags]
    return server.start_ranks(count, *words, output=folder.with_suffix(".log"))


def finish(children: list[Child]) -> list[int]:
    return [child.wait() for child in children]


@pytest.mark.slow
def test_a_run_resumes_to_the_same_losses_and_its_files_are_those_of_one_process(
    train_server: TrainServer, narrow_file: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert finish(start(train_server, 2, narrow_file, whole, "--max-steps", 6)) == [0, 0]
    assert finish(start(train_server, 2, narrow_file, parts, "--max-steps", 3)) == [0, 0]
    resumed = start(train_server, 2, narrow_file, parts, "--max-steps", 6, "-r", parts / "last.pth")
    assert finish(resumed) == [0, 0]
    assert losses(parts) == losses(whole) and len(losses(whole)) == 6
    assert [record["step"] for record in steps(whole)] == [1, 2, 3, 4, 5, 6]  # written once
    state = torch.load(whole / "last.pth", weights_only=True)
    assert not any("module." in name for name in state["model"])
    assert "sync_bn is not used" in resumed[0].text()
    assert resumed[1].text() == ""
    # One process goes on with what two have written.
    assert finish(
        start(train_server, 1, narrow_file, parts, "--max-steps", 7, "-r", parts / "last.pth")
    ) == [0]


def annotate_what_is_detected(config: Config, checkpoint: Path, target: Path) -> None:
    """Annotations that an untrained model partly fulfils: its own best boxes, more or less wide."""
    with narrow_backbone():
        model = build_model(config)
        load_evaluated_weights(model, checkpoint)
        loader = build_dataloader(config, "val")
        content = json.loads(Path(config.val_dataloader.dataset.ann_file).read_text())
        content["annotations"] = []
        batches = predict(
            model, build_postprocessor(config), loader, torch.device("cpu"), Precision("cpu", None)
        )
        found = [pair for ids, results in batches for pair in zip(ids, results, strict=True)]
        for image_id, result in found:
            for place in range(4):
                x1, y1, x2, y2 = result["boxes"][place].tolist()
                width, height = (x2 - x1) * (1 + 0.1 * image_id), y2 - y1
                content["annotations"].append({
                    "id": len(content["annotations"]) + 1, "image_id": image_id, "iscrowd": 0,
                    "category_id": int(result["labels"][place]), "area": width * height,
                    "bbox": [x1, y1, width, height],
                })  # fmt: skip
    target.write_text(json.dumps(content))


def figures_of(child: Child) -> list[str]:
    return [line for line in child.text().splitlines() if not line.startswith("written ")]


@pytest.mark.slow
def test_evaluation_is_that_of_one_process(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    three = annotations_without(shapes_folder, "val", tmp_path / "val.json", boxes_of_odd=False)
    config = narrow_config(shapes_folder, f"val_dataloader.dataset.ann_file={three}")
    file = write(config, tmp_path / "config.yml")
    assert finish(start(train_server, 1, file, tmp_path / "run", "--max-steps", 1)) == [0]
    checkpoint = tmp_path / "run" / "last.pth"
    annotate_what_is_detected(config, checkpoint, three)
    flags = ["--test-only", "-r", checkpoint]
    (one,) = start(train_server, 1, file, tmp_path / "one", *flags)
    first, second = start(train_server, 2, file, tmp_path / "two", *flags)
    assert finish([one, first, second]) == [0, 0, 0]
    figures = figures_of(one)
    assert 0.01 < float(figures[0].removeprefix("AP")) < 0.99, figures
    assert "3 images" in figures  # with two processes two and one: none of them twice
    assert figures_of(first) == figures
    assert second.text() == ""


def test_sigterm_to_one_process_stops_all_behind_the_same_step(
    train_server: TrainServer, narrow_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    children = start(train_server, 2, narrow_file, folder)
    await_steps(folder, 2)
    children[1].kill(signal.SIGTERM)
    assert finish(children) == [0, 0]
    assert attach_run(folder).status == "stopped"
    state = torch.load(folder / "last.pth", weights_only=True)
    assert state["rtdetr_nb"]["step"] == max(losses(folder)) >= 2


def test_a_picture_that_one_process_cannot_read_is_told_once(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    content = json.loads((shapes_folder / "annotations" / "train.json").read_text())
    # Its header is sound, so that only decoding it tells.
    whole = (shapes_folder / "images" / "train" / content["images"][5]["file_name"]).read_bytes()
    (tmp_path / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    content["images"][5]["file_name"] = str(tmp_path / "broken.jpg")
    annotations = tmp_path / "train.json"
    annotations.write_text(json.dumps(content))
    config = narrow_config(
        shapes_folder,
        f"train_dataloader.dataset.ann_file={annotations}",
        "train_dataloader.shuffle=False",
    )
    folder = tmp_path / "run"
    first, second = start(train_server, 2, write(config, tmp_path / "c.yml"), folder)
    assert finish([first, second]) == [2, 2]
    assert "cannot be decoded" in first.text() and "Traceback" not in first.text()
    assert second.text() == ""
    assert attach_run(folder).status == "failed"
    state = torch.load(folder / "last.pth", weights_only=True)
    assert state["rtdetr_nb"]["step"] == max(losses(folder)) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train_dataloader.total_batch_size=3"], "2 processes cannot share evenly"),
        (["HGNetv2.freez_at=0"], "Did you mean 'freeze_at'"),
    ],
)
def test_a_mistake_is_told_by_one_process(
    train_server: TrainServer,
    narrow_file: Path,
    tmp_path: Path,
    overrides: list[str],
    message: str,
) -> None:
    first, second = start(train_server, 2, narrow_file, tmp_path / "run", "-u", *overrides)
    assert finish([first, second]) == [2, 2]
    assert message in first.text() and "Traceback" not in first.text()
    assert second.text() == ""


def torchrun(
    file: Path,
    folder: Path,
    launch: Sequence[str] = ("--nproc_per_node=2",),
    train: Sequence[str] = (),
) -> "subprocess.Popen[str]":
    """Start torchrun; `launch` is for itself, `train` for what it starts."""
    launcher = [sys.executable, "-m", "torch.distributed.run", *launch]
    program = ["-m", "tests.small_runs", "train", "-c", str(file)]
    return subprocess.Popen(
        [*launcher, f"--master_port={free_port()}", *program, "--output-dir", str(folder),
         "-u", "train_dataloader.num_workers=1", *train],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_sigterm_to_torchrun_ends_with_a_checkpoint(narrow_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    launcher = torchrun(narrow_file, folder)
    await_steps(folder, 2, timeout=120)
    launcher.send_signal(signal.SIGTERM)
    _, text = launcher.communicate(timeout=60)
    run = attach_run(folder)
    assert run.status == "stopped", text
    assert "stopping after this step (SIGTERM)" in run.log_tail()
    state = torch.load(folder / "last.pth", weights_only=True)
    assert state["rtdetr_nb"]["step"] == max(losses(folder))


@pytest.mark.slow
def test_two_machines_make_one_run(narrow_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    machine = (
        "--nnodes=2",
        "--nproc_per_node=1",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{free_port()}",
    )
    machines = [torchrun(narrow_file, folder, machine, ("--max-steps", "3")) for _ in range(2)]
    texts = [launcher.communicate(timeout=240)[1] for launcher in machines]
    assert [launcher.returncode for launcher in machines] == [0, 0], texts
    run = attach_run(folder)
    assert run.status == "finished" and run.description["processes"] == 2
    assert sorted(losses(folder)) == [1, 2, 3]
    assert len(steps(folder)) == 3  # one of them writes
    assert sum("step 1 of 3" in text for text in texts) == 1


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_whole_run(narrow_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    launcher = torchrun(narrow_file, folder)
    await_steps(folder, 5, timeout=120)  # an epoch has 4 steps and ends with a checkpoint
    first = attach_run(folder).description["pid"]
    others = [pid for pid in children_of(launcher.pid) if pid != first]
    assert len(others) == 1
    os.kill(others[0], signal.SIGKILL)
    _, text = launcher.communicate(timeout=240)
    assert launcher.returncode != 0
    # The survivor found out and said so; one that waits is killed by torchrun and says nothing.
    assert "Another process of this run has ended" in text
    run = attach_run(folder)
    assert run.status == "failed" and "go on with -r" in run.error
    state = torch.load(folder / "last.pth", weights_only=True)
    assert state["rtdetr_nb"]["step"] % 4 == 0 and state["rtdetr_nb"]["step"] > 0


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_process_alone_needs_no_connection() -> None:
    assert ALONE.is_first and ALONE.any(True) and not ALONE.any(False)
    assert ALONE.gather(3) == [3] and ALONE.from_first(lambda: 4) == 4
    assert list(ALONE.in_step(iter("ab"))) == ["a", "b"]
    values = torch.ones(2)
    assert ALONE.mean(values) is values


def test_one_gpu_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[object] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", lambda device: order.append(("set", str(device))))

    def tried(name: str) -> torch.device:
        order.append(("tried", name))
        return torch.device(name)

    monkeypatch.setattr("rtdetr_nb.training.distributed.choose_device", tried)
    with pytest.raises(RunError, match="2 processes want one each"):
        process_device("cuda:1", Processes(0, 2, 0, joined=True))
    with pytest.raises(RunError, match="has 2 GPUs, fewer than torchrun"):
        process_device("cuda", Processes(2, 3, 2, joined=True))
    assert order == []  # no GPU was touched
    assert process_device("cuda", Processes(1, 2, 1, joined=True)) == torch.device("cuda", 1)
    assert process_device("cuda:1", ALONE) == torch.device("cuda", 1)
    assert process_device("cpu:0", ALONE) == torch.device("cpu", 0)
    # The first GPU is never tried: that would take some of its memory for each process.
    assert order == [("tried", "cuda:1"), ("set", "cuda:1")] * 2 + [("tried", "cpu:0")]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torchrun had started this process, and no other."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")


@pytest.mark.usefixtures("launched")
def test_buffers_are_not_copied_at_each_step() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    with join_processes("cpu") as processes:
        network = processes.wrap(model, torch.device("cpu"), find_unused=False)
        assert isinstance(network, torch.nn.parallel.DistributedDataParallel)
        assert not network.will_sync_module_buffers()


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize("end", ["well", "with an error", "with an exit code"])
def test_who_fails_does_not_wait_for_the_others(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_leave, taken = torch.distributed.destroy_process_group, []
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: taken.append(True))
    try:
        with contextlib.suppress(ValueError), join_processes("cpu") as processes:
            if end == "with an error":
                raise ValueError
            processes.failed = end == "with an exit code"
        assert taken == ([True] if end == "well" else [])
    finally:
        take_leave()
