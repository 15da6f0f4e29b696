"""Opening annotations of COCO's size, against faster-coco-eval; and what a data worker grows by."""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from bench.coco_size import write_coco_size

Result = tuple[str, float, str]

_OURS = """
    from rtdetr_nb.datasets.open_data import open_data
    data = open_data(folder)
    assert (data.train.num_boxes, data.val.num_boxes) == (860_001, 36_781)
"""
_THEIRS = """
    from faster_coco_eval import COCO
    for split in ("train", "val"):
        COCO(f"{folder}/annotations/instances_{split}2017.json")
"""
# Processor seconds, and bytes at the peak without those of the interpreter.
_MEASURED = """
    import sys, time, warnings
    from bench.memory import peak_memory
    folder = sys.argv[1]
    warnings.simplefilter("ignore")
    before, began = peak_memory(), time.process_time()
    {program}
    print(time.process_time() - began, peak_memory() - before)
"""
_WORKER = """
    import os, sys
    from rtdetr_nb.datasets.open_data import open_data
    split = open_data(sys.argv[1]).train
    def own_memory():
        lines = open("/proc/self/smaps_rollup").read().splitlines()
        return sum(int(l.split()[1]) for l in lines if l.startswith("Private_")) * 1024
    if os.fork() == 0:
        for index in range(2_000):
            split.boxes(index), split.image_path(index)
        before = own_memory()
        for index in range(len(split)):
            split.boxes(index), split.image_path(index)
        print(own_memory() - before, flush=True)
        os._exit(0)
    os.wait()
"""


def run() -> list[Result]:
    """Measure all and return (name, ratio, explanation)."""
    with tempfile.TemporaryDirectory() as folder:
        write_coco_size(Path(folder))
        seconds, memory = _measure(_OURS, folder)
        their_seconds, their_memory = _measure(_THEIRS, folder)
        results = [
            ("open COCO, time", seconds / their_seconds,
             f"{seconds:.1f} s against {their_seconds:.1f} s of faster-coco-eval's COCO()"),
            ("open COCO, memory", memory / their_memory,
             f"{memory / 1e6:,.0f} MB against {their_memory / 1e6:,.0f} MB, at the peak"),
        ]  # fmt: skip
        if os.path.exists("/proc/self/smaps_rollup"):
            grown = int(_output(_WORKER, folder))
            explanation = "MB a worker grows by, over one epoch of 860,001 boxes"
            results.append(("data worker", grown / 1e6, explanation))
    return results


def _measure(program: str, folder: str) -> tuple[float, float]:
    inner = textwrap.indent(textwrap.dedent(program), " " * 4)
    seconds, memory = _output(_MEASURED.replace("    {program}\n", inner), folder).split()
    return float(seconds), float(memory)


def _output(program: str, folder: str) -> str:
    """What a fresh process prints; nothing is left over in its memory."""
    command = [sys.executable, "-c", textwrap.dedent(program), folder]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
