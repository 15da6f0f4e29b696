from pathlib import Path

import pytest

from tests.runs.one_folder import Runs
from tests.small_runs import TrainServer


@pytest.fixture
def runs(train_server: TrainServer, narrow_file: Path, tmp_path: Path) -> Runs:
    return Runs(train_server, narrow_file, tmp_path / "run")
