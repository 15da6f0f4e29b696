"""Each value is converted by itself, so a wrong one is named by its key, whatever msgspec says."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from rtdetr_nb.config import typed
from rtdetr_nb.config.load import load_config
from rtdetr_nb.config.typed import read_sections, refuse_unfit
from rtdetr_nb.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    name: str = ""
    rate: float | None = None


@dataclass(frozen=True)
class Outer:
    """Every kind of type that the schema has."""

    count: int = 0
    flag: bool = False
    share: float = 0.0
    anything: Any = None
    size: tuple[int, int] | None = None
    numbers: tuple[int, ...] | None = None
    weights: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    several: tuple[Inner, ...] = ()


SOUND = {
    "count": 3,
    "flag": True,
    "share": 1,
    "anything": {"deep": [1, None]},
    "size": [4, 5],
    "numbers": None,
    "weights": {"a": 1, "b": 0.5},
    "inner": {"name": "x", "rate": None},
    "several": [{"name": "y"}, {"rate": 2}],
}


def test_a_value_that_fits_is_let_pass():
    refuse_unfit(Outer, SOUND)
    assert msgspec.convert(SOUND, Outer).several[1].rate == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "x"}, "key 'count' is 'x': expected `int`, got `str`"),
        ({"count": 2.5}, "key 'count' is 2.5: expected `int`, got `float`"),
        ({"count": None}, "key 'count' is None: expected `int`, got `null`"),
        ({"flag": 1}, "key 'flag' is 1: expected `bool`, got `int`"),
        ({"share": "1"}, "key 'share' is '1': expected `float`, got `str`"),
        ({"size": [1]}, "key 'size' is [1]: expected `list` of length 2, got 1"),
        ({"size": 4}, "key 'size' is 4: expected `list | null`, got `int`"),
        ({"size": [1, "b"]}, "key 'size.1' is 'b': expected `int`, got `str`"),
        ({"numbers": [1, 2, None]}, "key 'numbers.2' is None: expected `int`, got `null`"),
        ({"weights": []}, "key 'weights' is []: expected `mapping`, got `list`"),
        ({"weights": {"a": "x"}}, "key 'weights.a' is 'x': expected `float`, got `str`"),
        ({"weights": {3: 4}}, "key 'weights' is {3: 4}: expected `str`, got `int`"),
        ({"inner": {"rate": "x"}}, "key 'inner.rate' is 'x': expected `float | null`, got `str`"),
        ({"several": [{}, None]}, "key 'several.1' is None: expected `mapping`, got `null`"),
        ({"several": [{"rate": []}]}, "key 'several.0.rate' is []: expected `float | null`"),
        ({"inner": {"nam": 1}}, "there is no key 'inner.nam'. Did you mean 'name'?"),
    ],
)
def test_messages(change, message):
    with pytest.raises(ConfigError) as error:
        refuse_unfit(Outer, {**SOUND, **change})
    assert str(error.value).startswith(message), f"msgspec {msgspec.__version__}"


def test_a_message_of_another_form_is_shown_as_it_is(monkeypatch):
    def other_words(value: object, kind: object) -> None:
        raise msgspec.ValidationError("No way: $.a[0]")

    monkeypatch.setattr(msgspec, "convert", other_words)
    with pytest.raises(ConfigError, match=r"key 'count' is 3: no way: \$\.a\[0\]"):
        refuse_unfit(Outer, SOUND)


def test_what_only_the_whole_section_refuses_is_told_in_msgspecs_words(monkeypatch):
    monkeypatch.setattr(typed, "refuse_unfit", lambda *_: None)
    with pytest.raises(ConfigError, match="mine.yml: in section HGNetv2, Expected `int`.*freeze"):
        read_sections({"HGNetv2": {"freeze_at": "x"}}, "mine.yml")


def test_all_values_of_the_shipped_files_fit():
    config = load_config("rtdetrv2_hgnetv2_l")
    assert read_sections(config.yaml, "l")["decoder"] == config.decoder
