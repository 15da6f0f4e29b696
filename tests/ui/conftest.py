"""Comparisons that widgets and tables show, from files without values of their own."""

from pathlib import Path

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.config.load import load_config
from rtdetr_nb.ui import live_plot
from rtdetr_nb.ui.panel import run_panel
from tests.checkpoint.wild import CONFIG, backbone, prefixed, save, tensor
from tests.ui.fake_page import Page


@pytest.fixture(scope="session")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare backbone in a `state_dict`, an adapter of the distillation beside it."""
    content = {
        "meta": {"epoch": 3, "best": 0.5},
        "state_dict": backbone(),
        "adapters": {"0.weight": tensor("adapter", (8, 16, 1, 1))},
    }
    return save(content, tmp_path_factory.mktemp("ui") / "distilled.pth")


@pytest.fixture(scope="session")
def whole_diff(whole_file: Path) -> Diff:
    return compare(open_checkpoint(whole_file), CONFIG)


@pytest.fixture(scope="session")
def partial_diff(tmp_path_factory: pytest.TempPathFactory) -> Diff:
    """The last stage is missing, and the first convolution takes four channels."""
    state = prefixed("backbone.", backbone())
    state["backbone.stem.stem1.conv.weight"] = tensor("four", (32, 4, 3, 3))
    state = {key: value for key, value in state.items() if ".stages.3." not in key}
    path = save({"model": state}, tmp_path_factory.mktemp("ui") / "partial.pth")
    return compare(open_checkpoint(path), CONFIG)


@pytest.fixture(scope="session")
def other_size_diff(whole_file: Path) -> Diff:
    """HGNetv2-L weights against the model of HGNetv2-X."""
    return compare(open_checkpoint(whole_file), load_config("rtdetrv2_hgnetv2_x"))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    """What is displayed goes here, and plots look at their runs more often."""
    page = Page()
    for module in (live_plot, run_panel):
        monkeypatch.setattr(module, "display", page.display)
    monkeypatch.setattr(live_plot, "_SECONDS_BETWEEN_LOOKS", 0.02)
    return page
