"""The live plot: what watching two runs takes from the machine that trains them.

A separate process writes the records of two runs, faster than the plot looks. The watching
process's time on the processors, over the time on the clock and the number of processors, is the
share that a training on all of them loses at most.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 15.0
STEPS = 400
PARTS = [f"loss_{kind}{place}" for place in ("", *(f"_aux_{i}" for i in range(5)), "_enc_0")
         for kind in ("vfl", "bbox", "giou")]  # fmt: skip

Result = tuple[str, float, str]


def run() -> list[Result]:
    """Watch for some seconds and return (name, ratio, explanation)."""
    from rtdetr_nb.runs.run import Run
    from rtdetr_nb.ui.live_plot import LivePlot, follow

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root) / name for name in ("tuned", "random")]
        writer = subprocess.Popen([sys.executable, "-m", "bench.bench_live_plot", *folders])
        try:
            _wait_for(folders)
            looks: list[bytes] = []
            plot = LivePlot(
                follow([Run(f) for f in folders]), on_update=lambda p: looks.append(p.png)
            )
            began, used = time.perf_counter(), time.process_time()
            plot.start()
            time.sleep(SECONDS)
            plot.stop()
            used, elapsed = time.process_time() - used, time.perf_counter() - began
            plot.close()
        finally:
            writer.terminate()
            writer.wait()
    updates = len(set(looks))
    share = used / elapsed / processors
    each = used / max(updates, 1)
    return [
        (
            "live plot: share of the machine",
            share,
            f"{used:.2f} s of processor time in {elapsed:.0f} s, {updates} updates of two runs, "
            f"{processors} processors",
        ),
        (
            "live plot: an update",
            each / 0.5,
            f"{each * 1000:.0f} ms of processor time, against the 500 ms between two looks",
        ),
    ]


def _wait_for(folders: list[Path]) -> None:
    deadline = time.monotonic() + 30
    while not all((folder / "run.json").exists() for folder in folders):
        if time.monotonic() > deadline:
            raise TimeoutError("the process that writes the records has not begun")
        time.sleep(0.05)


def _write(folders: list[Path]) -> None:
    """Write the records of runs until the process is ended."""
    from rtdetr_nb.runs.process_identity import process_start_time

    pid = os.getpid()
    description = {
        "status": "running",
        "pid": pid,
        "process_started": process_start_time(pid),
        "host": socket.gethostname(),
    }
    for folder in folders:
        folder.mkdir()
        start = {"event": "start", "step": 0, "total_steps": STEPS}
        (folder / "metrics.jsonl").write_text(json.dumps(start) + "\n", encoding="utf-8")
        (folder / "run.json").write_text(json.dumps(description), encoding="utf-8")
    for step in range(1, STEPS + 1):
        for place, folder in enumerate(folders):
            record = {"step": step, "epoch": 0, "loss": 40 / (1 + step / 100) + place}
            record |= {name: 1.0 / step for name in PARTS}
            record |= {"lr": [1e-5, 1e-4, 1e-4], "seconds": 0.2, "time": time.time()}
            with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        time.sleep(0.2)


def main() -> None:
    """Print the ratios, or, as a child process, write records."""
    if len(sys.argv) > 1:
        _write([Path(folder) for folder in sys.argv[1:]])
        return
    for name, ratio, explanation in run():
        print(f"{ratio:6.3f}  {name:<32} {explanation}", flush=True)


if __name__ == "__main__":
    main()
