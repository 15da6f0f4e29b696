import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.files.json_file import as_number, read_json, to_json


@pytest.mark.parametrize("content", ["", '{"status": "run', "[]", "3", "\xff"])
def test_a_file_without_an_object_reads_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    assert read_json(path) == {}
    path.write_text(content, encoding="latin-1")
    assert read_json(path) == {}
    path.write_text('{"status": "running"}')
    assert read_json(path) == {"status": "running"}


@given(st.floats())
def test_every_number_comes_back(number: float) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = to_json({"values": [number, (number,)]})
    found = json.loads(text, parse_constant=refuse)["values"]
    for value in (as_number(found[0]), as_number(found[1][0])):
        assert value == number or math.isnan(value) and math.isnan(number)


@pytest.mark.parametrize("value", ["infinity", "a name", 3, None, True, [1.0]])
def test_other_values_stay(value: object) -> None:
    assert as_number(value) is value
