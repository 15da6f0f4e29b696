import os
import subprocess
import sys

import pytest

from rtdetr_nb.cli.thread_waiting import let_waiting_threads_sleep

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
PROGRAM = """
import os, sys
from rtdetr_nb.cli.main import main
main({words})
print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in NAMES:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "7")
    let_waiting_threads_sleep()
    assert {each: os.environ.get(each) for each in NAMES} == {**dict.fromkeys(NAMES), name: "7"}


def test_it_is_set_before_torch_is_there_to_read_it() -> None:
    """Torch reads it once, when it is imported; this command ends before that."""
    environment = {k: v for k, v in os.environ.items() if k not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(words=["train", "-c", "no such configuration"])],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["10000", "False"], done.stderr
