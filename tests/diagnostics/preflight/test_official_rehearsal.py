"""The part of the official code, with a stand-in for its program: what it is told and tells."""

import json
from pathlib import Path

import pytest
import yaml

from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.diagnostics.preflight.official_rehearsal import look_at_official
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.official.command import open_official
from rtdetr_nb.text.findings import FAILURE
from tests.paths import DATA, REFERENCE

LOG = (REFERENCE / "official_log.txt").read_text()

# Plays the official tools/train.py: notes what it is told, says what it would say, and may fail.
STAND_IN = """
import json, os, pathlib, sys
config = sys.argv[sys.argv.index("-c") + 1]
told = {{"arguments": sys.argv[1:], "config": open(config).read()}}
folder = sys.argv[sys.argv.index("--output-dir") + 1]
data = pathlib.Path(folder).parent / "data" / "annotations"
told["train"] = len(json.loads((data / "train.json").read_text())["images"])
pathlib.Path(os.environ["TOLD"]).write_text(json.dumps(told))
log = {log!r}
if os.environ.get("PLAY") == "evaluation":
    print(log[: log.index("Test:")])
    raise RuntimeError("The size of tensor a (9) must match")
print(log)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the repository."""
    inner = tmp_path / "clone" / "rtdetrv2_pytorch"
    for name in ("src/solver/det_solver.py", "src/zoo/rtdetr/rtdetrv2_decoder.py"):
        (inner / name).parent.mkdir(parents=True, exist_ok=True)
        (inner / name).touch()
    (inner / "configs" / "rtdetrv2").mkdir(parents=True)
    (inner / "tools").mkdir()
    (inner / "tools" / "train.py").write_text(STAND_IN.format(log=LOG))
    return open_official(inner).folder


@pytest.fixture
def training(sound, checkout, tmp_path, monkeypatch) -> Training:
    monkeypatch.setenv("TOLD", str(tmp_path / "told.json"))
    source = open_data(DATA / "shapes")
    return Training(sound, None, None, tmp_path / "run", official=checkout, source=source)


def test_it_is_told_the_same_steps_on_a_few_pictures(training, tmp_path):
    (tmp_path / "passing").mkdir()
    part = look_at_official(training, tmp_path / "passing", pictures=2)
    assert part.verdict == "ok", part.findings
    assert part.sentence.startswith("3 steps by the official code, and an evaluation")
    told = json.loads((tmp_path / "told.json").read_text())
    config = yaml.safe_load(told["config"])
    assert told["train"] == 4 and config["epoches"] == 1
    assert config["train_dataloader"]["total_batch_size"] == 2
    assert "batch_size" not in config["train_dataloader"]
    assert config["num_classes"] == training.config.num_classes


def test_the_place_where_it_ends_is_told(training, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAY", "evaluation")
    (tmp_path / "passing").mkdir()
    part = look_at_official(training, tmp_path / "passing", pictures=2)
    (found,) = [each for each in part.findings if each.level == FAILURE]
    assert "in its evaluation: RuntimeError: The size of tensor a (9) must match." in found.what
