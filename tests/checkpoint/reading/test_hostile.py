"""Files that are made to do harm: nothing of them runs, and none of them takes memory or time."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from tests.checkpoint.reading import _build_pickles as p
from tests.checkpoint.reading._build_archives import write_legacy, write_torch_zip
from tests.checkpoint.reading._hostile_files import (
    CALLS,
    CANARY,
    HARMLESS,
    REFUSED,
    beside_a_tensor,
    unpickle_call,
)
from tests.paths import ROOT

SECONDS = 20.0
"""What one file may take of the processor; the slowest takes about three."""
GROWTH = 400 << 20
"""What one file may add to the peak memory; the limit in the child lies above it."""


@dataclass(frozen=True)
class Result:
    outcome: str
    events: list[str]
    seconds: float
    grown: int


def run_child(folder: Path, files: list[Path], *arguments: str) -> list[Result]:
    """Open the files in a child process that watches itself; it works in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.checkpoint.reading._audited_child", *arguments],
        input="".join(f"{file}\n" for file in files),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=500,
    )
    results = [Result(**json.loads(line)) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(results) == len(files), (len(results), done.stderr[-3000:])
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What came of every file of `REFUSED` and `HARMLESS`."""
    folder = tmp_path_factory.mktemp("hostile")
    builders = {name: builder for name, (builder, _) in REFUSED.items()} | HARMLESS
    files = [builder(folder / f"{number}.pth") for number, builder in enumerate(builders.values())]
    return dict(zip(builders, run_child(folder, files), strict=True))


def assert_quiet(result: Result) -> None:
    assert result.events == []
    assert result.seconds < SECONDS
    assert result.grown < GROWTH


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str, results: dict[str, Result]) -> None:
    result = results[name]
    assert result.outcome.startswith("refused: "), result.outcome
    assert REFUSED[name][1] in result.outcome
    assert_quiet(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
def test_opens_without_harm(name: str, results: dict[str, Result]) -> None:
    assert results[name].outcome.startswith("opened: "), results[name].outcome
    assert_quiet(results[name])


@cache
def spellings() -> tuple[str, ...]:
    return tuple(p.calls("a", "b"))


def build_call(folder: Path, name: str) -> list[Path]:
    """The call in every spelling, beside tensors, in each of the containers of pickles."""
    module, function, arguments = CALLS[name]
    files = []
    for number, body in enumerate(p.calls(module, function, *arguments).values()):
        data = beside_a_tensor(body)
        files.append(write_torch_zip(folder / f"{number}.pth", data))
        files.append(write_legacy(folder / f"{number}.legacy.pth", data))
        bare = folder / f"{number}.pdparams"
        bare.write_bytes(p.program(p.dict_of({"evil": body})))
        files.append(bare)
    return files


@pytest.mark.slow
def test_calls_do_nothing_and_hide_no_tensor(tmp_path: Path) -> None:
    files: list[Path] = []
    for name in CALLS:
        folder = tmp_path / name.replace(".", "_").replace(" ", "_")
        folder.mkdir()
        files += build_call(folder, name)
    results = run_child(tmp_path, files)
    for file, result in zip(files, results, strict=True):
        assert result.events == [], file
        expected = "refused: " if file.suffix == ".pdparams" else "opened: 2 tensors"
        assert result.outcome.startswith(expected), (file, result.outcome)
    assert not (tmp_path / CANARY).exists()


def test_a_call_is_described_by_its_names(tmp_path: Path) -> None:
    module, function, arguments = CALLS["os.system"]
    for body in p.calls(module, function, *arguments).values():
        path = write_torch_zip(tmp_path / "file.pth", beside_a_tensor(body))
        checkpoint = open_checkpoint(path)
        assert list(checkpoint.tensors) == ["before", "after"]
        assert checkpoint.read_numpy(["after"])["after"].tolist() == [1.0, 2.0, 3.0, 4.0]
    reduced = p.calls(module, function, *arguments)["GLOBAL REDUCE"]
    tree = open_checkpoint(write_torch_zip(tmp_path / "file.pth", beside_a_tensor(reduced))).tree
    assert isinstance(tree, dict)
    assert repr(tree["evil"]) == f"<os.system('touch {CANARY}')>"


@pytest.mark.parametrize("name", ["os.system", "builtins.exec", "io.FileIO", "importlib"])
def test_the_watch_sees_what_pickle_load_does(name: str, tmp_path: Path) -> None:
    # Without this, a watch that records nothing would let every test above pass.
    path = tmp_path / "evil.pkl"
    path.write_bytes(unpickle_call(name))
    (result,) = run_child(tmp_path, [path], "--unpickle")
    assert result.events != []


def test_the_memory_limit_is_real(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    path.write_bytes(p.program(p.global_of("builtins", "bytes") + p.number(1 << 31) + b"\x85R"))
    (result,) = run_child(tmp_path, [path], "--unpickle")
    assert result.outcome.startswith("crashed: MemoryError")
