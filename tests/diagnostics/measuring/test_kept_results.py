"""Results that are computed once: found again by their inputs, never mixed up, never in the way."""

from pathlib import Path

import numpy as np
import pytest

from rtdetr_nb.diagnostics.measuring import kept_results
from rtdetr_nb.diagnostics.measuring.kept_results import FOLDER_VARIABLE, compute_once, digest

CODE = (kept_results.__name__,)


class Counting:
    """Computes, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"a": np.arange(3) + self.calls, "b": np.array(1.5)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kept"))
    monkeypatch.setattr(kept_results, "_memory", {})
    return tmp_path / "kept"


def forget_memory() -> None:
    kept_results._memory.clear()


def test_the_same_inputs_are_computed_once(folder: Path) -> None:
    compute = Counting()
    first = compute_once("test", [np.ones(2), "x", 3], CODE, compute)
    assert compute_once("test", [np.ones(2), "x", 3], CODE, compute) is first
    forget_memory()
    again = compute_once("test", [np.ones(2), "x", 3], CODE, compute)
    assert compute.calls == 1 and again["a"].tolist() == [1, 2, 3] and float(again["b"]) == 1.5
    assert len(list(folder.glob("test-*.npz"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        [np.ones(2), "x", 4],
        [np.ones(2), "xy", 3],
        [np.ones(2), "x3"],
        [np.zeros(2), "x", 3],
        [np.ones((1, 2)), "x", 3],
        [np.ones(2, np.float32), "x", 3],
    ],
)
def test_other_inputs_are_computed_anew(folder: Path, other: list[object]) -> None:
    compute = Counting()
    compute_once("test", [np.ones(2), "x", 3], CODE, compute)
    compute_once("test", other, CODE, compute)
    assert compute.calls == 2


def test_other_code_computes_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counting()
    compute_once("test", [1], CODE, compute)
    compute_once("test", [1], (*CODE, "rtdetr_nb.model.layers"), compute)
    monkeypatch.setattr(kept_results, "__version__", "99")
    compute_once("test", [1], CODE, compute)
    assert compute.calls == 3


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04"])
def test_a_damaged_file_is_as_good_as_none(folder: Path, damage: bytes) -> None:
    compute = Counting()
    compute_once("test", [1], CODE, compute)
    (file,) = folder.glob("*.npz")
    file.write_bytes(damage)
    forget_memory()
    compute_once("test", [1], CODE, compute)
    assert compute.calls == 2
    forget_memory()
    compute_once("test", [1], CODE, compute)
    assert compute.calls == 2  # the file is whole again


def test_a_disk_that_takes_nothing_is_no_error(folder: Path) -> None:
    folder.write_text("a file where the folder would be")
    compute = Counting()
    compute_once("test", [1], CODE, compute)
    compute_once("test", [1], CODE, compute)
    assert compute.calls == 1


def test_old_files_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_results, "_MOST_FILES", 3)
    monkeypatch.setattr(kept_results, "_MOST_IN_MEMORY", 2)
    for number in range(6):
        compute_once("test", [number], CODE, Counting())
    assert len(list(folder.glob("*.npz"))) == 3 and len(kept_results._memory) == 2


def test_a_digest_of_arrays_in_any_order_of_memory() -> None:
    rows = np.arange(6).reshape(2, 3)
    assert digest([rows]) == digest([np.asfortranarray(rows)]) != digest([rows.T.copy()])
