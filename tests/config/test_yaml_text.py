"""What is written comes back, here and in the official code, which reads with plain PyYAML."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from rtdetr_nb.config.yaml_text import read_yaml, write_yaml

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.from_regex(r"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]*)?", fullmatch=True)
    | st.dates().map(str)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


@example({"\x85": None})
@example(["a\u2028b", "\u2029"])
@given(VALUES)
@example({"\x85": None})
@example(["a\u2028b", "\u2029"])
def test_what_is_written_is_read(value: Any) -> None:
    text = write_yaml(value)
    assert read_yaml(text) == value
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("1e4", 1e4), ("-2.E3", -2e3), (".5e+1", 5.0), ("1.5", 1.5), ("+3e0", 3.0)],
)
def test_numbers(text: str, number: float) -> None:
    value = read_yaml(text)
    assert value == number and isinstance(value, float)


@pytest.mark.parametrize("text", ["e4", "1e", "1e4x", "2026-11-23", "2026-11-23 10:00:00", ".e1"])
def test_texts(text: str) -> None:
    assert read_yaml(text) == text


def test_a_key_that_comes_twice() -> None:
    with pytest.raises(yaml.YAMLError, match="'a' comes twice"):
        read_yaml("x: {a: 1, b: 2, a: 3}")
    assert read_yaml("{a: &m {x: 1}, b: {<<: *m, x: 2}}") == {"a": {"x": 1}, "b": {"x": 2}}


def test_a_merged_key_does_not_come_twice() -> None:
    """The mapping that is merged from is flattened itself before it is made."""
    text = "{b: &b {x: 1}, o: {m: &m {<<: *b, x: 2}}, c: {<<: *m}}"
    assert read_yaml(text) == yaml.safe_load(text)
    with pytest.raises(yaml.YAMLError, match="'y' comes twice"):
        read_yaml("{b: &b {x: 1}, c: {<<: *b, y: 2, y: 3}}")
