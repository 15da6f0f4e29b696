"""Opens files while everything that Python does is watched, with little memory to spare.

Reads one path a line from standard input, and prints one JSON object a line: what came of it, the
audit events that it caused, seconds of processor time, and growth of the peak memory. With
`--unpickle` the files are given to `pickle.load` instead, to show that the watch sees what there is
to see.
"""

import json
import pickle
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.errors import CheckpointError

MEMORY_TO_SPARE = 700 << 20
"""Bytes of address space that a file may cost, whatever is in it."""
_HARMLESS = {
    "builtins.id",
    "os.listdir",
    "os.scandir",
}
"""What the reader does itself, besides opening files for reading."""


class Watch:
    """Collects audit events while it is on."""

    def __init__(self) -> None:
        self.events: list[str] | None = None
        sys.addaudithook(self._record)

    def _record(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.events is None or event in _HARMLESS:
            return
        if event == "open" and arguments[1] in ("r", "rb", None) and not _writes(arguments[2]):
            return
        self.events.append(f"{event} {arguments!r}"[:200])


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & 0o1103)  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC


def _warm_up() -> None:
    """Import what the reader imports late, which no file causes."""
    import rtdetr_nb.checkpoint.reading.containers.safetensors_file
    import rtdetr_nb.checkpoint.reading.containers.sharded  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "array.pdparams"
        array = np.asfortranarray(np.ones((2, 2), ">f4"))
        path.write_bytes(pickle.dumps({"array": array, "text": "ü"}, 2))
        checkpoint = open_checkpoint(path)
        checkpoint.read_numpy(checkpoint.tensors)


def _use(path: str, unpickle: bool) -> str:
    if unpickle:
        with open(path, "rb") as file:
            pickle.load(file)
        return "unpickled"
    try:
        checkpoint = open_checkpoint(path)
        list(map(repr, checkpoint.modules.values()))
        repr(checkpoint.tree)
        for key in list(checkpoint.tensors)[:100]:
            checkpoint.read_numpy([key])
    except CheckpointError as error:
        return f"refused: {error}"
    return f"opened: {len(checkpoint.tensors)} tensors"


def _resident(kind: str = "VmRSS") -> int:
    """Bytes of memory in use, now or (`VmHWM`) at most since `_forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def _forget_peak() -> None:
    # getrusage would give the peak of the whole life, of the parent process even.
    Path("/proc/self/clear_refs").write_text("5")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_TO_SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    unpickle = "--unpickle" in sys.argv
    _warm_up()
    _limit_memory()
    watch = Watch()
    for line in sys.stdin:
        _forget_peak()
        before, start = _resident(), time.process_time()
        watch.events = []
        try:
            outcome = _use(line.rstrip("\n"), unpickle)
        except BaseException as error:  # noqa: BLE001 (whatever escapes is what the test is about)
            outcome = f"crashed: {type(error).__name__}: {error}"[:500]
        events, watch.events = watch.events, None
        seconds = time.process_time() - start
        grown = _resident("VmHWM") - before
        result = {"outcome": outcome, "events": events, "seconds": seconds, "grown": grown}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
