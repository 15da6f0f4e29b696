import os
import subprocess
import sys

import pytest

from rtdetr_nb.waiting_threads import let_waiting_threads_sleep

PROGRAM = """
import os, sys
from rtdetr_nb.cli import main
main({words})
print(os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules)
"""


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_waiting_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_it_is_set_before_torch_is_there_to_read_it() -> None:
    """Torch reads it once, when it is imported; this command ends before that."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(words=["train", "-c", "no such configuration"])],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["PASSIVE", "False"], done.stderr
