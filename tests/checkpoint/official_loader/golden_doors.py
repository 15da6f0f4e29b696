"""Compares predictions with what the official code did; see `tests/reference/README.md`."""

import json

from rtdetr_nb.checkpoint.official_loader.every_door import EveryDoor
from tests.paths import REFERENCE

GOLDEN = json.loads((REFERENCE / "official_doors.json").read_text())


def check_doors(name: str, doors: EveryDoor) -> None:
    """Every door's exception, or its tensors and the parts that it says it loads."""
    for door, (first, *rest) in GOLDEN[name].items():
        prediction = doors[door]
        if isinstance(first, str):
            assert prediction.exception == first, (door, prediction)
            assert rest[0] in prediction.message, (door, prediction.message)
            assert prediction.verdict == "failed" and prediction.loaded == 0
            continue
        assert prediction.exception is None, (door, prediction)
        assert prediction.loaded == first, (door, prediction)
        if rest:
            said = [line.split()[1] for line in prediction.printed if line.startswith("Load")]
            assert [word.removesuffix(".state_dict") for word in said] == rest[0], door
        assert (prediction.verdict == "failed") == (first == 0)


def check_listed(listed: EveryDoor, exact: EveryDoor) -> None:
    """The prediction without torch and without values is the exact one."""
    for door, prediction in exact.predictions.items():
        found = listed[door]
        assert (found.exception, found.loaded) == (prediction.exception, prediction.loaded), door
        if prediction.exception != "UnpicklingError":
            assert found.outcome == prediction.outcome
            assert found.printed == prediction.printed
