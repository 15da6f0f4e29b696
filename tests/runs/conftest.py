from pathlib import Path
from typing import Any

import pytest

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs import find_or_start, quick_run_settings
from rtdetr_nb.runs.run import Run
from tests.runs.one_folder import Runs
from tests.small_runs import TrainServer
from tests.ui.fake_run import FakeRun


@pytest.fixture
def runs(train_server: TrainServer, narrow_file: Path, tmp_path: Path) -> Runs:
    return Runs(train_server, narrow_file, tmp_path / "run")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Runs are described and not started; what they were asked for is listed."""
    calls: list[dict[str, Any]] = []

    def start_run(config: object, *, output_dir: str, **options: object) -> Run:
        run = Run(Path(output_dir))
        if run.description and not run.is_over:
            raise RunError(f"A run lives in {output_dir}.")
        calls.append({"config": config, "output_dir": output_dir, **options})
        FakeRun(Path(output_dir)).describe("running", number=len(calls))
        return run

    monkeypatch.setattr(find_or_start, "start_run", start_run)
    monkeypatch.setattr(quick_run_settings, "start_run", start_run)
    return calls
