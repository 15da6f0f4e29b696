"""Two networks that are sound, and pictures of several kinds."""

from pathlib import Path

import pytest

from tests.diagnostics.input_format.corpus import DEMO, State, demo_state, foreign_state
from tests.diagnostics.input_format.kinds_of_pictures import shapes, write_kinds


@pytest.fixture(scope="session")
def own() -> State:
    return demo_state()


@pytest.fixture(scope="session")
def foreign() -> State:
    return foreign_state(shapes(12, 128))


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return write_kinds(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def demo() -> Path:
    return DEMO
