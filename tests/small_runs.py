"""Real training processes that start fast: forked from one that has already imported everything.

The detector is RT-DETRv2 with a narrow backbone, so that a step takes a few hundredths of a second
and a checkpoint a megabyte. Signals, exit statuses, files and connections are the real ones.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from rtdetr_nb.architecture import hgnetv2_variants as architecture
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.runs.record_file import read_records
from rtdetr_nb.runs.records import StepRecord, is_step
from tests.free_port import free_port
from tests.paths import ROOT

SMALL_HEADS = [
    "HybridEncoder.hidden_dim=32",
    "HybridEncoder.nhead=4",
    "HybridEncoder.dim_feedforward=32",
    "HybridEncoder.depth_mult=0.34",
    "RTDETRTransformerv2.hidden_dim=32",
    "RTDETRTransformerv2.feat_channels=[32,32,32]",
    "RTDETRTransformerv2.nhead=4",
    "RTDETRTransformerv2.dim_feedforward=32",
    "RTDETRTransformerv2.num_layers=2",
    "RTDETRTransformerv2.num_queries=20",
    "RTDETRTransformerv2.num_denoising=4",
    "RTDETRPostProcessor.num_top_queries=20",
]

NARROW = architecture.BackboneSpec(
    (3, 8, 8),
    architecture.hgnetv2_stages((8, 8, 16, 1), (16, 8, 32, 1), (32, 8, 32, 1), (32, 8, 32, 1)),
)
NARROW_CONFIG = [
    "HybridEncoder.in_channels=[32,32,32]",
    *SMALL_HEADS,
    "seed=3",
    "device=cpu",
    "preview_freq=0",
    "train_dataloader.num_workers=0",
    "val_dataloader.num_workers=0",
    "val_dataloader.total_batch_size=2",
]


@contextmanager
def narrow_backbone() -> Iterator[None]:
    """HGNetv2-L with few channels, within this process."""
    wide = architecture.HGNETV2_VARIANTS["L"]
    architecture.HGNETV2_VARIANTS["L"] = NARROW
    try:
        yield
    finally:
        architecture.HGNETV2_VARIANTS["L"] = wide


def narrow_config(data: Path, *overrides: str, steps: int = 6, batch_size: int = 2) -> Config:
    """A configuration for `narrow_backbone` on a folder of shapes."""
    config = quick_run_config(data, steps=steps, image_size=64, batch_size=batch_size)
    return config.override([*NARROW_CONFIG, *overrides])


@dataclass
class Child:
    """One process of the program; its output is in a file."""

    server: "TrainServer"
    pid: int
    output: Path
    _status: int | None = None

    def kill(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = 120) -> int:
        """The exit status, negative for a signal."""
        if self._status is None:
            self._status = self.server.ask(wait=self.pid, timeout=timeout)
        assert self._status is not None, f"still running: {self.text()}"
        return self._status

    def text(self) -> str:
        """What it has written to standard output and error."""
        return self.output.read_text(errors="replace")


class TrainServer:
    """Starts `rtdetr-nb train` in children of a process that has imported all it needs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.small_runs", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def ask(self, **request: object) -> Any:
        """Send a request and return the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        *arguments: object,
        output: Path,
        environment: Mapping[str, str] | None = None,
        largest_file: int | None = None,
    ) -> Child:
        """Start the program with these arguments.

        Args:
            arguments: of the command line.
            output: file for what it writes to standard output and error.
            environment: variables on top.
            largest_file: bytes; writing beyond them fails as on a full disk.
        """
        pid = self.ask(
            arguments=list(map(str, arguments)),
            output=str(output),
            environment=dict(environment or {}),
            largest_file=largest_file,
        )
        return Child(self, pid, output)

    def start_ranks(self, count: int, *arguments: object, output: Path) -> list[Child]:
        """Start the program in several processes with torchrun's environment."""
        port = free_port()
        return [
            self.start(
                *arguments,
                output=output.with_suffix(f".{rank}"),
                environment={
                    **{name: str(rank) for name in ("RANK", "LOCAL_RANK")},
                    "WORLD_SIZE": str(count),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                },
            )
            for rank in range(count)
        ]

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def losses(folder: Path) -> dict[int, float]:
    """Total loss by step; of a step that was trained twice, the last one."""
    return {record["step"]: record["loss"] for record in steps(folder)}


def steps(folder: Path) -> list[StepRecord]:
    """The records of training steps."""
    return [record for record in read_records(folder / "metrics.jsonl") if is_step(record)]


def await_steps(folder: Path, count: int, timeout: float = 60) -> None:
    """Wait until so many steps are recorded, those that were trained twice counted twice."""
    deadline = time.monotonic() + timeout
    # Reading without parsing: this process shall not take the time of the one that trains.
    while (found := _count_steps(folder / "metrics.jsonl")) < count:
        assert time.monotonic() < deadline, f"{found} steps of {count}"
        time.sleep(0.02)


def _count_steps(metrics: Path) -> int:
    return metrics.read_bytes().count(b'"grad_norm"') if metrics.exists() else 0


def _serve() -> None:
    """Answer requests, one JSON object a line, until standard input ends."""
    import torch

    from rtdetr_nb.training import loop  # noqa: F401 - what the children would import

    torch.set_num_threads(1)
    children = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = _wait(**request)
            if answer is not None:
                children.discard(request["wait"])
        else:
            answer = _fork(**request)
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in children:  # those of a test that failed would train for ever
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _wait(wait: int, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pid, status = os.waitpid(wait, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def _fork(
    arguments: Sequence[str],
    output: str,
    environment: Mapping[str, str],
    largest_file: int | None,
) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70  # of a child that fails before the program begins
    try:
        os.setsid()
        with open(output, "ab", buffering=0) as file:
            _redirect(file)
        os.environ.update(environment)
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        status = _program(arguments)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter would
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(file: IO[bytes]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number in (1, 2):
        os.dup2(file.fileno(), number)


def _program(arguments: Sequence[str]) -> int:
    """The command line; or `call MODULE FUNCTION ARGUMENT ...`, one function in its place."""
    from rtdetr_nb.cli.main import main

    with narrow_backbone():
        if arguments[0] == "call":
            _, module, function, *rest = arguments
            getattr(import_module(module), function)(*rest)
            return 0
        return main(arguments)


def _main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve", "train"])
    options, arguments = parser.parse_known_args()
    if options.command == "serve":
        _serve()
        return 0
    return _program(["train", *arguments])


if __name__ == "__main__":
    sys.exit(_main())
