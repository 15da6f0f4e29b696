"""Our checkpoints by the rules of the official loader, and a checkpoint by its rules here."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import MultiStepLR

from rtdetr_nb.config.config import Config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.optimizer import group_names
from tests.small_runs import TrainServer, losses, narrow_backbone, narrow_config


class Average:
    """The official average: a model and the number of its updates."""

    def __init__(self, config: Config) -> None:
        self.module, self.updates = build_model(config), 0

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]


class Warmup:
    """The official warm-up: whatever a file holds becomes its attributes."""

    def __init__(self, rates: list[float], duration: int) -> None:
        self.warmup_end_values, self.last_step, self.warmup_duration = rates, 0, duration

    def state_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Solver:
    """What the official training holds, loads and saves: each part under its attribute's name."""

    def __init__(self, config: Config) -> None:
        self.model = build_model(config)
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        groups = [[named[name] for name in names] for names in group_names(config, named)]
        self.optimizer = AdamW([{"params": group} for group in groups], lr=1e-4)
        self.lr_scheduler = MultiStepLR(self.optimizer, milestones=[1000])
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.lr_warmup_scheduler = Warmup(rates, 2000)
        self.ema = Average(config)
        self.last_epoch = -1

    def parts(self) -> dict[str, Any]:
        return {n: part for n, part in vars(self).items() if hasattr(part, "load_state_dict")}

    def load(self, path: Path) -> list[str]:
        """Load each part strictly; return the names of those that the file lacks."""
        state = torch.load(path, map_location="cpu")
        self.last_epoch = state["last_epoch"]
        for name, part in self.parts().items():
            if name in state:
                part.load_state_dict(state[name])
        return [name for name in self.parts() if name not in state]

    def save(self, path: Path) -> None:
        parts = {name: part.state_dict() for name, part in self.parts().items()}
        torch.save({"date": "today", "last_epoch": self.last_epoch, **parts}, path)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_checkpoint_goes_there_and_comes_back(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path, processes: int
) -> None:
    config = narrow_config(shapes_folder)
    file, folder = tmp_path / "config.yml", tmp_path / "run"
    file.write_text(config.to_yaml())

    def train(*flags: object) -> None:
        words = ["train", "-c", file, "--output-dir", folder, *flags]
        children = train_server.start_ranks(processes, *words, output=tmp_path / "log")
        assert [child.wait() for child in children] == [0] * processes, children[0].text()

    train("--max-steps", 4)  # one epoch
    with narrow_backbone():
        solver = Solver(config)
    assert solver.load(folder / "last.pth") == []
    assert (solver.last_epoch, solver.ema.updates) == (0, 4)
    assert solver.lr_warmup_scheduler.last_step == 4
    ours = torch.load(folder / "last.pth", weights_only=True)
    for name, value in solver.model.state_dict().items():
        assert torch.equal(value, ours["model"][name]), name
    moments = solver.optimizer.state
    assert len(moments) == sum(p.requires_grad for p in solver.model.parameters())
    assert all(state["exp_avg"].shape == p.shape for p, state in moments.items())

    official = folder / "official.pth"  # beside the records that it goes on with
    solver.save(official)
    train("--max-steps", 6, "-r", folder / "last.pth")
    expected = losses(folder)
    train("--max-steps", 6, "-r", official, "--seed", 3)
    assert list(losses(folder)) == [1, 2, 3, 4, 5, 6]
    assert losses(folder) == expected  # nothing was lost on the way there and back
    train("--max-steps", 1, "-t", official)
    assert len(losses(folder)) == 1
