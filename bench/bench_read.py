"""Reading and converting checkpoints: ours against torch alone, in time and in peak memory.

Listing and copying are measured against `torch.load(weights_only=True)`. `convert` is measured
against the same work done by torch alone: load, save, load again, compare, load into the model and
compare; that way judges nothing, keeps no provenance and knows one layout of files.

The large file is a full training checkpoint of HGNetv2-L (model, EMA, AdamW state; 3,600 tensors,
530 MB) with random numbers; the small one is the checkpoint of the demo. Every measurement runs in
a process of its own, after torch was imported, and the methods take turns, so that a noisy machine
harms all of them alike.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.memory import forget_peak, peak_memory

ROUNDS = 3
DEMO = Path(__file__).parents[1] / "data" / "demo_backbone_mmdet.pth"
BACKBONE = "ema.module.backbone."
CONFIG = "rtdetrv2_hgnetv2_l"

Result = tuple[str, float, str]


def run() -> list[Result]:
    """Time all methods and return (name, ratio to torch.load, explanation)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.pth"
        _child("build", path)
        size = path.stat().st_size / 1e6
        found: dict[str, list[dict[str, float]]] = {method: [] for method in READING}
        for _ in range(ROUNDS):
            for method, rows in found.items():
                rows.append(_child(method, path))
        with tempfile.TemporaryDirectory() as outputs:
            small = Path(shutil.copy(DEMO, outputs))
            converted = _convert_rows((path, small))
    seconds = {name: statistics.median(r["seconds"] for r in rows) for name, rows in found.items()}
    memory = {name: statistics.median(r["megabytes"] for r in rows) for name, rows in found.items()}
    results: list[Result] = []
    for ours, theirs, what in (
        ("list", "torch.load", f"listing a file of {size:.0f} MB"),
        ("copy", "torch.load and copy", "copying its EMA backbone into a file"),
    ):
        explanation = f"{what}: {seconds[ours]:.2f} s against {seconds[theirs]:.2f} s of torch.load"
        results.append((f"read: {ours}, time", seconds[ours] / seconds[theirs], explanation))
        explanation = f"{what}: {memory[ours]:.0f} MB more against {memory[theirs]:.0f} MB"
        results.append((f"read: {ours}, memory", memory[ours] / memory[theirs], explanation))
    return results + converted


def _convert_rows(paths: Iterable[Path]) -> list[Result]:
    """Time `convert` on each file against the same work by torch alone."""
    rows: list[Result] = []
    for path in paths:
        taken: dict[str, list[float]] = {"convert": [], "torch convert": []}
        for _ in range(ROUNDS):
            for method, seconds in taken.items():
                seconds.append(_child(method, path)["seconds"])
        ours, theirs = (statistics.median(seconds) for seconds in taken.values())
        size = path.stat().st_size / 1e6
        explanation = (
            f"converting a file of {size:.0f} MB, proof included: {ours:.2f} s against "
            f"{theirs:.2f} s of torch alone"
        )
        rows.append((f"convert: {size:.0f} MB, time", ours / theirs, explanation))
    return rows


def _child(method: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.bench_read", method, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _build(path: Path) -> None:
    import torch

    from rtdetr_nb.architecture.state_dict_table import model_keys
    from rtdetr_nb.config.load import load_config

    config = load_config(CONFIG, ["HGNetv2.freeze_norm=False"])
    keys = model_keys(config)

    def random_state() -> dict[str, torch.Tensor]:
        return {
            key: torch.randn(info.shape)
            if info.dtype == "float32"
            else torch.zeros(info.shape, dtype=getattr(torch, info.dtype))
            for key, info in keys.items()
        }

    moments = {
        index: {
            "step": torch.tensor(1.0),
            "exp_avg": torch.randn(info.shape),
            "exp_avg_sq": torch.randn(info.shape),
        }
        for index, info in enumerate(i for i in keys.values() if i.kind == "parameter")
    }
    groups = [{"lr": 1e-4, "params": list(moments)}]
    training = {
        "last_epoch": 0,
        "model": random_state(),
        "ema": {"module": random_state(), "updates": 1},
        "optimizer": {"state": moments, "param_groups": groups},
    }
    torch.save(training, path)


def _list(path: Path) -> None:
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint

    open_checkpoint(path)


def _copy(path: Path) -> None:
    import torch

    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(path)
    tensors = checkpoint.read(key for key in checkpoint.tensors if key.startswith(BACKBONE))
    torch.save({"model": tensors}, path.with_suffix(".ours"))


def _torch_load(path: Path) -> None:
    import torch

    torch.load(path, map_location="cpu", weights_only=True)


def _torch_copy(path: Path) -> None:
    import torch

    training = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {
        f"{BACKBONE}{key.removeprefix('backbone.')}": value
        for key, value in training["ema"]["module"].items()
        if key.startswith("backbone.")
    }
    torch.save({"model": tensors}, path.with_suffix(".theirs"))


def _convert(path: Path) -> None:
    from rtdetr_nb.conversion.convert import convert

    done = convert(path, path.with_name("ours.pth"), CONFIG, force=True)
    assert done.proof is not None and done.proof.bit_equal


def _torch_convert(path: Path) -> None:
    import torch

    from rtdetr_nb.config.load import load_config
    from rtdetr_nb.model.build import build_model

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if "ema" in loaded:
        state = loaded["ema"]["module"]
    else:
        state = {f"backbone.{key}": value.float() for key, value in loaded["state_dict"].items()}
    output = path.with_name("theirs.pth")
    torch.save({"model": state}, output)
    again = torch.load(output, map_location="cpu", weights_only=True)["model"]
    assert all(torch.equal(again[key], value) for key, value in state.items())
    model = build_model(load_config(CONFIG))
    kept = {key: again[key] for key in model.state_dict() if key in again}
    model.load_state_dict(kept, strict=False)
    arrived = {key: value for key, value in model.state_dict().items() if key in kept}
    assert all(torch.equal(value, state[key]) for key, value in arrived.items())


READING: dict[str, Callable[[Path], None]] = {
    "list": _list,
    "torch.load": _torch_load,
    "copy": _copy,
    "torch.load and copy": _torch_copy,
}
METHODS = {**READING, "convert": _convert, "torch convert": _torch_convert}


def _measure(method: Callable[[Path], None], path: Path) -> dict[str, float]:
    """Seconds, and megabytes of peak memory above what was in use before."""
    import numpy  # noqa: F401
    import torch  # noqa: F401

    import rtdetr_nb.checkpoint.checkpoint  # noqa: F401

    forget_peak()
    before, start = peak_memory(), time.perf_counter()
    method(path)
    return {"seconds": time.perf_counter() - start, "megabytes": (peak_memory() - before) / 1e6}


def main() -> None:
    """Print the ratios, or, as a child process, measure one method."""
    if len(sys.argv) == 3:
        method, path = sys.argv[1], Path(sys.argv[2])
        if method == "build":
            _build(path)
            result: dict[str, float] = {}
        else:
            result = _measure(METHODS[method], path)
        print(json.dumps(result))
        return
    for name, ratio, explanation in run():
        print(f"{ratio:6.3f}  {name:<32} {explanation}", flush=True)


if __name__ == "__main__":
    main()
