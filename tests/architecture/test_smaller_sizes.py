"""The sizes of other detectors, against the tables of D-FINE's own models."""

import json

import pytest

from rtdetr_nb.architecture.smaller_sizes import SMALLER_SIZES, smaller_tables, who_trains
from rtdetr_nb.checkpoint.naming.dialects import DIALECTS
from rtdetr_nb.checkpoint.naming.renaming import rename_back
from tests.paths import REFERENCE

TABLE = json.loads((REFERENCE / "dialects" / "dfine_backbone_B0_to_B3_use_lab.json").read_text())
REAL = {
    size: {key[3:]: info for key, info in TABLE.items() if key.startswith(f"{size}.")}
    for size in ("B0", "B1", "B2", "B3")
}
(DFINE,) = (dialect for dialect in DIALECTS if dialect.name == "dfine")


@pytest.mark.parametrize("size", SMALLER_SIZES)
def test_the_table_is_that_of_the_real_model(size):
    table = smaller_tables()[size]
    theirs = rename_back(table, DFINE)
    found = {theirs[name]: [list(info.shape), info.dtype] for name, info in table.items()}
    assert found == REAL[size] and list(found) == list(REAL[size])


def test_each_size_has_a_trainer_or_a_word():
    assert set(REAL) == set(SMALLER_SIZES)
    assert "D-FINE-N and -S" in who_trains("B0") and "D-FINE-M" in who_trains("B2")
    for size in ("B1", "B3"):
        assert f"HGNetv2.name: {size}" in who_trains(size)
    assert who_trains(None) == ""
