"""Mutated files: whatever the bytes are, the reader lists them or refuses them in a sentence.

`RTDETR_NB_FUZZ_STREAMS` sets how many are tried; a million take about ten minutes.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from tests.paths import ROOT

STREAMS = int(os.environ.get("RTDETR_NB_FUZZ_STREAMS", "20000"))
SEED = int(os.environ.get("RTDETR_NB_FUZZ_SEED", "0"))
GROWTH = 48 << 20


def save_seeds(folder: Path) -> None:
    """Write sound files of every container, small enough that mutations hit what matters."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, generator=generator)
    state = OrderedDict(weight=weight, view=weight.t(), half=weight.half(), step=torch.tensor(3))
    torch.save({"model": state, "epoch": 3, "names": ["a", "b"]}, folder / "state.pth")
    torch.save({"ema": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))}, folder / "module.pth")
    torch.save({"array": np.ones(3), "best": np.float32(0.5), "set": {1}}, folder / "numpy.pth")
    torch.save({"p": nn.Parameter(weight), "c": 1j}, folder / "protocol4.pth", pickle_protocol=4)
    torch.save({"model": state}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    (folder / "paddle.pdparams").write_bytes(pickle.dumps({"w": np.ones((2, 2), "f4")}, 4))
    (folder / "old.pdparams").write_bytes(pickle.dumps({"w": np.ones((2, 2), "f4")}, 2))
    save_file({"a": weight, "b": weight.bfloat16()}, folder / "model.safetensors")
    index = {"weight_map": {"a": "model.safetensors", "b": "model.safetensors"}}
    (folder / "index.json").write_text(json.dumps(index))
    save_distributed({"a": weight}, checkpoint_id=folder / "distributed")
    shutil.copy(folder / "distributed" / ".metadata", folder / ".metadata")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: a disk would take most of the time."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_listed_or_refused(folder: Path) -> None:
    save_seeds(folder)
    for path in folder.iterdir():
        if path.name != ".metadata":  # it is opened as a folder
            assert open_checkpoint(path).tensors, path
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.checkpoint.reading._fuzz_child",
            folder,
            str(STREAMS),
            str(SEED),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert not result["crashes"], "\n".join(result["crashes"])
    assert result["streams"] == STREAMS
    assert result["grown"] < GROWTH
    # Neither outcome may be all there is: then the mutations are too strong or have no effect.
    assert min(result["outcomes"].values()) > STREAMS // 100
    sys.stdout.write(f"{result}\n")
