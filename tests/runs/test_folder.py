"""The folder of a run, as the process of the run holds it."""

import json
import os
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest

import rtdetr_nb
from rtdetr_nb.config.load import load_config
from rtdetr_nb.runs.folder import RunFolder, how_to_go_on, start_facts
from rtdetr_nb.runs.records import StartRecord
from rtdetr_nb.runs.run import Run, attach_run
from tests.runs.one_folder import Runs
from tests.small_runs import losses


def test_a_run_refused_by_another_leaves_its_description_alone(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": "running"}')
    RunFolder(tmp_path).fail("refused", "RunError")
    assert Run(tmp_path).description == {"status": "running"}


def test_a_request_to_a_run_that_starts_is_kept(tmp_path: Path) -> None:
    description = {"status": "starting", "pid": os.getpid()}
    (tmp_path / "run.json").write_text(json.dumps(description))
    (tmp_path / "stop").touch()
    folder = RunFolder(tmp_path)
    folder.claim_and_record(resumed=False)
    assert folder.stop_requested() and not folder.stop_requested()
    folder.end("stopped")


def test_a_new_run_keeps_what_the_one_before_has_left(runs: Runs) -> None:
    runs.finish("--max-steps", 4)
    before, saved = losses(runs.folder), runs.last.read_bytes()
    (runs.folder / "evaluation.json").touch()
    # From its own weights, in its own folder: they are read before they step aside.
    text = runs.finish("-t", runs.last, "--max-steps", 1)
    assert list(losses(runs.folder)) == [1]
    (kept,) = (runs.folder / "previous").iterdir()
    assert f"the files of the earlier run are kept in {kept}" in text
    assert losses(kept) == before and (kept / "last.pth").read_bytes() == saved
    assert attach_run(kept).status == "finished" and (kept / "evaluation.json").exists()
    runs.finish("-r", runs.last, "--max-steps", 2)
    assert list(losses(runs.folder)) == [1, 2]
    assert list((runs.folder / "previous").iterdir()) == [kept]


def test_a_run_resumed_from_another_folder_keeps_what_its_own_one_held(runs: Runs) -> None:
    other = Runs(runs.server, runs.file, runs.folder.with_name("other"))
    other.finish("--max-steps", 3, "--seed", 9)
    runs.finish("--max-steps", 4)
    before, saved = losses(runs.folder), runs.last.read_bytes()
    runs.finish("-r", other.last, "--max-steps", 5)
    (kept,) = (runs.folder / "previous").iterdir()
    assert losses(kept) == before and (kept / "last.pth").read_bytes() == saved
    assert list(losses(runs.folder)) == [4, 5]
    description = attach_run(runs.folder).description
    assert description["resume"] == str(other.last) and description["goes_on"] is False
    # From its own checkpoint, whatever the path: the run goes on with its records.
    runs.finish("-r", runs.folder / ".." / "run" / "last.pth", "--max-steps", 6)
    assert list(losses(runs.folder)) == [4, 5, 6]
    assert attach_run(runs.folder).description["goes_on"] is True
    assert list((runs.folder / "previous").iterdir()) == [kept]


def test_every_run_has_the_configuration_that_it_was_trained_by(runs: Runs) -> None:
    own = runs.folder / "config.yml"
    runs.folder.mkdir()
    for name, text in {"run.json": '{"started": "1"}', "metrics.jsonl": "{}\n"}.items():
        (runs.folder / name).write_text(text)  # as a run of a notebook leaves them
    own.write_text("epoches: 1\n")
    for rate, flags in ((0.5, ()), (0.25, ()), (0.125, ("-r", runs.last))):
        runs.finish("--max-steps", 1, "-u", f"optimizer.lr={rate}", *flags)
        assert load_config(own).optimizer.lr == rate
    notebook, command_line = sorted((runs.folder / "previous").iterdir())
    assert (notebook / "config.yml").read_text() == "epoches: 1\n"
    assert load_config(command_line / "config.yml").optimizer.lr == 0.5


def test_a_configuration_that_somebody_wrote_into_the_folder_is_not_lost(runs: Runs) -> None:
    own, written = runs.folder / "config.yml", "# mine\n" + runs.file.read_text()
    runs.folder.mkdir()
    own.write_text(written)
    runs.file = own
    for resume in ((), ("-r", runs.last), ()):  # the last one is a new run
        runs.finish("--max-steps", 1, *resume)
        assert own.read_text() == written
    (kept,) = (runs.folder / "previous").iterdir()
    assert (kept / "config.yml").read_text() == written
    assert attach_run(kept).status == "finished"
    other = Runs(runs.server, own, runs.folder.with_name("other"))
    other.folder.mkdir()
    (other.folder / "config.yml").write_text(written)
    other.finish("--max-steps", 1)  # of another file
    (kept,) = (other.folder / "previous").iterdir()
    assert [path.name for path in kept.iterdir()] == ["config.yml"]
    assert (kept / "config.yml").read_text() == written


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("-t", "{file}"), "It is a configuration (YAML), not a checkpoint"),
        (("-u", "train_dataloader.dataset.ann_file=nowhere.json"), "No such file"),
    ],
)
def test_a_run_that_cannot_begin_touches_nothing_of_the_one_before(
    runs: Runs, flags: tuple[str, ...], reason: str
) -> None:
    flags = tuple(flag.format(file=runs.file) for flag in flags)
    runs.finish("--max-steps", 2)
    records = (runs.folder / "metrics.jsonl").read_bytes()
    for _ in range(2):  # the second failure stands in the place of the first
        assert reason in runs.finish("--max-steps", 1, *flags, status=2)
        failed = attach_run(runs.folder)
        assert failed.status == "failed" and reason in failed.error and failed.records == []
        assert (runs.folder / "metrics.jsonl").read_bytes() == records
        assert runs.saved_step() == 2
    runs.finish("--max-steps", 1)
    (kept,) = (runs.folder / "previous").iterdir()
    assert attach_run(kept).status == "finished"
    assert (kept / "metrics.jsonl").read_bytes() == records


def test_a_run_that_could_not_be_resumed_can_be(runs: Runs) -> None:
    runs.finish("--max-steps", 2)
    whole = runs.last.read_bytes()
    runs.last.write_bytes(whole[:100])
    runs.finish("-r", runs.last, "--max-steps", 4, status=2)
    assert list(attach_run(runs.folder).history.index) == [1, 2]  # still those of this run
    runs.last.write_bytes(whole)
    runs.finish("-r", runs.last, "--max-steps", 4)
    assert list(losses(runs.folder)) == [1, 2, 3, 4]
    assert not (runs.folder / "previous").exists()


def test_half_a_record_is_dropped_when_the_run_goes_on(runs: Runs) -> None:
    runs.finish("--max-steps", 2)
    with open(runs.folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    runs.finish("-r", runs.last, "--max-steps", 3)
    assert list(losses(runs.folder)) == [1, 2, 3]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no folder that all may not write")
def test_a_folder_that_cannot_be_written_is_refused(runs: Runs) -> None:
    runs.folder, logs = Path("/proc/self/task"), runs.folder
    words = ["train", "-c", runs.file, "--output-dir", runs.folder]
    child = runs.server.start(*words, output=logs.with_suffix(".log"))
    assert child.wait() == 2
    assert "The output folder /proc/self/task cannot be written" in child.text()
    assert "Traceback" not in child.text()


def test_only_a_checkpoint_of_the_run_itself_is_named(tmp_path: Path) -> None:
    folder = tmp_path
    for name, text in {"run.json": '{"started": "1"}', "last.pth": ""}.items():
        (folder / name).write_text(text)
    assert how_to_go_on(folder).endswith(f"-r {folder / 'last.pth'}.")
    run = RunFolder(folder)
    run.claim(resumed=False)
    assert how_to_go_on(folder) == "The run has written no checkpoint yet."
    run.start_recording()
    assert how_to_go_on(folder) == "The run has written no checkpoint yet."
    (folder / "last.pth").touch()
    assert "go on with -r" in how_to_go_on(folder)
    run.end("stopped")


def test_the_step_of_the_start_is_not_called_the_step_of_the_run():
    start: StartRecord = {"event": "start", "step": 4, "device": "cpu"}
    assert start_facts(start) == {"from_step": 4, "device": "cpu"}


def test_the_states_of_a_folder(tmp_path: Path) -> None:
    """As the docstring of the module has them."""
    for name, text in {"run.json": '{"started": "1"}', "metrics.jsonl": "{}\n"}.items():
        (tmp_path / name).write_text(text)
    run, folder = Run(tmp_path), RunFolder(tmp_path)
    folder.prepare()
    assert run.status == "starting" and run.description == {} and not run.describe().owns_records
    folder.claim(resumed=False, max_steps=3)
    assert run.status == "starting" and run.description["max_steps"] == 3
    assert not run.describe().owns_records and (tmp_path / "metrics.jsonl").exists()
    assert folder.start_recording(seed=5) == tmp_path / "previous" / "1"
    assert run.status == "running" and run.describe().owns_records and run.records == []
    folder.append({"step": 1, "loss": float("nan")})
    folder.fail("It broke.", "ValueError")
    assert run.status == "failed" and run.description["seed"] == 5
    assert run.error == "It broke." and run.history["loss"].isna().all()
    assert run.records[-1].get("event") == "error"
    RunFolder(tmp_path).claim(resumed=False)  # the lock was given back


def test_a_checkout_that_is_not_installed_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine of a cluster, where only PYTHONPATH names the checkout."""

    def version(name: str) -> str:
        if name == "rtdetr_nb":
            raise PackageNotFoundError(name)
        return installed_version(name)

    monkeypatch.setattr("rtdetr_nb.runs.folder.version", version)
    folder = RunFolder(tmp_path)
    folder.claim(resumed=False)
    versions = json.loads((tmp_path / "run.json").read_text())["versions"]
    assert versions["rtdetr_nb"] == rtdetr_nb.__version__
    assert versions["torch"] == installed_version("torch")
