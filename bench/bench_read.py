"""Reading a checkpoint: ours against `torch.load(weights_only=True)`, in time and in peak memory.

The file is a full training checkpoint of HGNetv2-L (model, EMA, AdamW state; 3,600 tensors, 530 MB)
with random numbers. Every measurement runs in a process of its own, after torch was imported, and
the methods take turns, so that a noisy machine harms all of them alike.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.memory import forget_peak, peak_memory

ROUNDS = 3
BACKBONE = "ema.module.backbone."

Result = tuple[str, float, str]


def run() -> list[Result]:
    """Time all methods and return (name, ratio to torch.load, explanation)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.pth"
        _child("build", path)
        size = path.stat().st_size / 1e6
        found: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
        for _ in range(ROUNDS):
            for method, rows in found.items():
                rows.append(_child(method, path))
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
    return results


def _child(method: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.bench_read", method, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _build(path: Path) -> None:
    import torch

    from rtdetr_nb.architecture.state_dict_table import model_keys
    from rtdetr_nb.config.load import load_config

    config = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_norm=False"])
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


METHODS: dict[str, Callable[[Path], None]] = {
    "list": _list,
    "torch.load": _torch_load,
    "copy": _copy,
    "torch.load and copy": _torch_copy,
}


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
