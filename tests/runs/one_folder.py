"""Runs of one configuration in one folder, as processes."""

from pathlib import Path

import torch

from tests.small_runs import Child, TrainServer


class Runs:
    """Starts runs of one configuration in one folder."""

    def __init__(self, server: TrainServer, file: Path, folder: Path) -> None:
        self.server, self.file, self.folder = server, file, folder
        self.last = folder / "last.pth"
        self._count = 0

    def start(self, *flags: object, largest_file: int | None = None) -> Child:
        self._count += 1
        words = ["train", "-c", self.file, "--output-dir", self.folder, *flags]
        output = self.folder.with_suffix(f".{self._count}.log")
        return self.server.start(*words, output=output, largest_file=largest_file)

    def finish(self, *flags: object, status: int = 0, largest_file: int | None = None) -> str:
        """Run to the end and return what it has written."""
        child = self.start(*flags, largest_file=largest_file)
        assert child.wait() == status, child.text()
        assert "Traceback" not in child.text()
        return child.text()

    def saved_step(self) -> int:
        return torch.load(self.last, weights_only=True)["rtdetr_nb"]["step"]
