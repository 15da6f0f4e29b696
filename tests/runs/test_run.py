"""What happens to runs: a second one in the folder, requests to stop, and things that break."""

import json
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
import torch

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.folder import RunFolder
from rtdetr_nb.runs.lock import RunLock
from rtdetr_nb.runs.process import describe_started
from rtdetr_nb.runs.run import Run, attach_run, start_run
from tests.small_runs import Child, TrainServer, await_steps, losses, narrow_config, steps


class Runs:
    """Starts runs of one configuration in one folder."""

    def __init__(self, server: TrainServer, file: Path, folder: Path) -> None:
        self.server, self.file, self.folder = server, file, folder
        self.last = folder / "last.pth"
        self._count = 0

    def start(self, *flags: object, largest_file: int | None = None) -> Child:
        self._count += 1
        words = ["train", "-c", self.file, "--output-dir", self.folder, *flags]
        output = self.folder.with_suffix(f".{self._count}.log")
        return self.server.start(*words, output=output, largest_file=largest_file)

    def finish(self, *flags: object, status: int = 0, largest_file: int | None = None) -> str:
        """Run to the end and return what it has written."""
        child = self.start(*flags, largest_file=largest_file)
        assert child.wait() == status, child.text()
        assert "Traceback" not in child.text()
        return child.text()

    def saved_step(self) -> int:
        return torch.load(self.last, weights_only=True)["rtdetr_nb"]["step"]


@pytest.fixture
def runs(train_server: TrainServer, narrow_file: Path, tmp_path: Path) -> Runs:
    return Runs(train_server, narrow_file, tmp_path / "run")


def test_a_second_run_is_refused_while_the_first_lives(runs: Runs) -> None:
    first = runs.start("-u", "train_dataloader.num_workers=1")
    await_steps(runs.folder, 1)
    text = runs.finish("--max-steps", 1, status=2)
    assert f"A run lives in {runs.folder} (process {first.pid} on " in text
    with pytest.raises(RunError, match="A run lives in"):
        start_run(load_config(runs.file), output_dir=runs.folder)
    before = len(losses(runs.folder))
    assert attach_run(runs.folder).status == "running"
    await_steps(runs.folder, before + 2)  # the first one did not mind
    first.kill(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    # At once, while the first one's data worker still lives.
    text = runs.finish("--max-steps", 1)
    assert f"ended without a word (process {first.pid} on " in text
    assert "its lock is taken over" in text
    assert "taken over" not in runs.finish("--max-steps", 1)


def test_of_those_who_want_the_lock_at_once_one_gets_it(runs: Runs) -> None:
    children = [runs.start() for _ in range(3)]  # each would train for ever
    await_steps(runs.folder, 1)
    winner_pid = attach_run(runs.folder).description["pid"]
    winner = next(child for child in children if child.pid == winner_pid)
    losers = [child for child in children if child is not winner]
    assert [child.wait() for child in losers] == [2, 2]
    before = len(steps(runs.folder))
    await_steps(runs.folder, before + 2)  # the winner did not mind
    winner.kill(signal.SIGTERM)
    assert winner.wait() == 0, winner.text()
    recorded = [record["step"] for record in steps(runs.folder)]
    assert recorded == list(range(1, len(recorded) + 1))


def test_a_file_asks_a_run_on_another_machine_to_stop(tmp_path: Path) -> None:
    description = {"status": "running", "pid": 1, "process_started": "1", "host": "elsewhere"}
    (tmp_path / "run.json").write_text(json.dumps(description))
    attach_run(tmp_path).stop()
    assert (tmp_path / "stop").exists()


@pytest.mark.parametrize("content", ["", '{"status": "run', "[]", "\xff"])
def test_a_description_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    assert Run(tmp_path).description == {} and Run(tmp_path).status == "starting"
    with pytest.raises(RunError, match="There is no run in"):
        attach_run(tmp_path)
    with pytest.raises(RunError, match="There is no run in"):
        attach_run(tmp_path / "run.json")
    nameless = {"status": "running", "host": socket.gethostname()}
    (tmp_path / "run.json").write_text(json.dumps(nameless))
    assert attach_run(tmp_path).status == "died"


def test_what_cannot_be_written_at_the_start_is_a_sentence(
    narrow_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (folder / "train.log").mkdir(parents=True)
    with pytest.raises(RunError, match=r"cannot be started in .*train\.log"):
        start_run(load_config(narrow_file), output_dir=folder)
    assert not Run(folder).description
    before = {"run.json": '{"status": "finished"}', "config.yml": "epoches: 1\n"}
    for name, text in before.items():
        (folder / name).write_text(text)
    with pytest.raises(RunError, match="cannot be started"):
        start_run(load_config(narrow_file), output_dir=folder)
    assert {name: (folder / name).read_text() for name in before} == before
    assert not (folder / "previous").exists()


def test_the_first_description_never_replaces_the_one_of_the_process(tmp_path: Path) -> None:
    describe_started(os.getpid(), tmp_path)
    first = Run(tmp_path).description
    assert first["status"] == "starting" and first["pid"] == os.getpid()
    (tmp_path / "run.json").write_text('{"status": "failed"}')
    describe_started(os.getpid(), tmp_path)
    assert Run(tmp_path).status == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_run_refused_by_another_leaves_its_description_alone(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": "running"}')
    RunFolder(tmp_path).fail("refused", "RunError")
    assert Run(tmp_path).description == {"status": "running"}


def test_a_lock_of_which_only_half_was_written_is_no_riddle(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text('{"pid": 1')
    lock = RunLock(tmp_path)
    lock.acquire()
    assert "process unknown on unknown" in lock.takeover_note
    lock.describe(started="today")
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    lock.release()
    assert (tmp_path / "run.lock").read_text() == ""


def test_a_file_asks_the_run_to_stop(runs: Runs) -> None:
    child = runs.start()
    await_steps(runs.folder, 1)
    request = runs.folder / "stop"
    request.touch()
    assert child.wait() == 0
    assert attach_run(runs.folder).status == "stopped"
    assert not request.exists()
    assert runs.saved_step() == max(losses(runs.folder))
    request.touch()  # too late: a request to the run that has ended
    runs.finish("-r", runs.last, "--max-steps", runs.saved_step() + 2)
    assert attach_run(runs.folder).status == "finished"


def test_a_request_to_a_run_that_starts_is_kept(tmp_path: Path) -> None:
    description = {"status": "starting", "pid": os.getpid()}
    (tmp_path / "run.json").write_text(json.dumps(description))
    (tmp_path / "stop").touch()
    folder = RunFolder(tmp_path)
    folder.begin(resumed=False)
    assert folder.stop_requested() and not folder.stop_requested()
    folder.update(status="stopped")


def test_a_new_run_keeps_what_the_one_before_has_left(runs: Runs) -> None:
    runs.finish("--max-steps", 4)
    before, saved = losses(runs.folder), runs.last.read_bytes()
    (runs.folder / "evaluation.json").touch()
    # From its own weights, in its own folder: they are read before they step aside.
    text = runs.finish("-t", runs.last, "--max-steps", 1)
    assert list(losses(runs.folder)) == [1]
    (kept,) = (runs.folder / "previous").iterdir()
    assert f"what an earlier run has left is kept in {kept}" in text
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
    for resume in ((), ("-r", runs.last), ()):  # the last one is a run of its own
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


def test_a_request_to_a_run_that_is_gone_is_none_to_the_next(runs: Runs) -> None:
    runs.folder.mkdir()
    (runs.folder / "stop").touch()
    runs.finish("--max-steps", 1)
    assert attach_run(runs.folder).status == "finished"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("-t", "{file}"), "narrow.yml"),  # that is no checkpoint
        (("-u", "train_dataloader.dataset.ann_file=nowhere.json"), "nowhere"),
    ],
)
def test_a_run_that_cannot_begin_touches_nothing_of_the_one_before(
    runs: Runs, flags: tuple[str, ...], word: str
) -> None:
    flags = tuple(flag.format(file=runs.file) for flag in flags)
    runs.finish("--max-steps", 2)
    records = (runs.folder / "metrics.jsonl").read_bytes()
    for _ in range(2):  # the second failure stands in the place of the first
        assert word in runs.finish("--max-steps", 1, *flags, status=2)
        failed = attach_run(runs.folder)
        assert failed.status == "failed" and word in failed.error and failed.records == []
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


@pytest.mark.parametrize("name", ["a #b", "a: b"])
def test_the_folder_of_a_run_may_have_any_name(runs: Runs, name: str) -> None:
    runs.folder = runs.folder.with_name(name)
    runs.finish("-t", runs.file, status=2)  # that is no checkpoint
    assert runs.file.name in attach_run(runs.folder).error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_behind_its_step_in_spite_of_data_workers(
    runs: Runs, number: signal.Signals
) -> None:
    child = runs.start("-u", "train_dataloader.num_workers=2")
    await_steps(runs.folder, 1)
    os.killpg(child.pid, number)  # as a terminal and torchrun do: the whole group
    assert child.wait() == 0, child.text()
    assert attach_run(runs.folder).status == "stopped"
    assert runs.saved_step() == max(losses(runs.folder))


def test_half_a_record_is_dropped_when_the_run_goes_on(runs: Runs) -> None:
    runs.finish("--max-steps", 2)
    with open(runs.folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    runs.finish("-r", runs.last, "--max-steps", 3)
    assert list(losses(runs.folder)) == [1, 2, 3]


def test_a_resumed_run_without_a_seed_keeps_the_order_it_began(runs: Runs) -> None:
    runs.file.write_text(runs.file.read_text().replace("seed: 3\n", ""))
    runs.finish("--max-steps", 2)
    first = attach_run(runs.folder).description["seed"]
    runs.finish("-r", runs.last, "--max-steps", 4)
    again = attach_run(runs.folder).description["seed"]
    assert first == again != 3
    whole = Runs(runs.server, runs.file, runs.folder.with_name("whole"))
    whole.finish("--max-steps", 4, "--seed", first)
    assert losses(whole.folder) == losses(runs.folder)


def test_a_run_resumed_with_another_batch_size_sees_the_rest_of_its_epoch(runs: Runs) -> None:
    runs.finish("--max-steps", 2)  # 4 of 8 pictures
    four = ("-u", "train_dataloader.total_batch_size=4")
    text = runs.finish("-r", runs.last, "--max-steps", 4, *four)
    assert "A step now has 4 pictures, not 2" in text
    assert [record["epoch"] for record in steps(runs.folder)] == [0, 0, 0, 1]


def test_a_full_disk_keeps_the_last_good_checkpoint(runs: Runs) -> None:
    runs.finish("--max-steps", 4)
    before = runs.last.read_bytes()
    text = runs.finish("-r", runs.last, "--max-steps", 8, status=1, largest_file=len(before) // 2)
    assert text.count("last.pth cannot be written") == 1
    assert "The checkpoint before it is kept" in text
    assert runs.last.read_bytes() == before
    assert attach_run(runs.folder).status == "failed"
    assert not list(runs.folder.glob(".*.partial"))


def test_a_disk_too_full_for_a_record_ends_the_run_in_a_sentence(runs: Runs) -> None:
    runs.finish("--max-steps", 4)
    size = (runs.folder / "metrics.jsonl").stat().st_size
    text = runs.finish("-r", runs.last, "--max-steps", 8, status=1, largest_file=size + 100)
    assert "metrics.jsonl cannot be written" in text and "Make room" in text
    assert runs.saved_step() == 4


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no folder that all may not write")
def test_a_folder_that_cannot_be_written_is_refused(runs: Runs) -> None:
    runs.folder, logs = Path("/proc/self/task"), runs.folder
    words = ["train", "-c", runs.file, "--output-dir", runs.folder]
    child = runs.server.start(*words, output=logs.with_suffix(".log"))
    assert child.wait() == 2
    assert "The output folder /proc/self/task cannot be written" in child.text()
    assert "Traceback" not in child.text()


def test_pictures_that_vanish_end_the_run_with_its_last_step_saved(
    runs: Runs, shapes_folder: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(shapes_folder, tmp_path / "data")
    runs.file.write_text(narrow_config(data).to_yaml())
    child = runs.start()
    await_steps(runs.folder, 2)
    shutil.rmtree(data / "images" / "train")
    assert child.wait() == 2
    assert child.text().count("There is no picture") == 1
    assert "Traceback" not in child.text()
    assert attach_run(runs.folder).status == "failed"
    assert runs.saved_step() == max(losses(runs.folder))


def test_a_killed_data_worker_ends_the_run_in_a_sentence(runs: Runs) -> None:
    child = runs.start("-u", "train_dataloader.num_workers=1")
    await_steps(runs.folder, 5)  # behind the checkpoint of the first epoch
    words = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    os.kill(int(words[0]), signal.SIGKILL)
    assert child.wait() == 1
    assert child.text().count("A process that loads data was killed") == 1
    assert "Traceback" not in child.text()
    assert attach_run(runs.folder).status == "failed"
    assert runs.saved_step() == max(losses(runs.folder))
