"""The pickle reader against the pickles that Python writes, and against single opcodes."""

import io
import pickle
import pickletools
import struct
from collections import OrderedDict
from datetime import datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rtdetr_nb.checkpoint.reading.pickle.machine import INLINE_LIMIT
from rtdetr_nb.checkpoint.reading.pickle.opcodes import HANDLERS
from rtdetr_nb.checkpoint.reading.pickle.reader import PickleReader
from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global, IdentityKey, PersistentId
from rtdetr_nb.checkpoint.reading.storage import Span
from rtdetr_nb.errors import CheckpointError
from tests.checkpoint.reading import _build_pickles as p


def load(data: bytes) -> object:
    return PickleReader(io.BytesIO(data), len(data)).load()


class Custom:
    """A class whose objects the tests pickle."""

    def __init__(self, value: object) -> None:
        self.value = value


class Sparing:
    """A class without a `__dict__`."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
    | st.binary(max_size=300)
)
KEYS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text("abc.é\U0001f600")
NESTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=6).map(tuple)
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(NESTS, st.integers(2, 5))
def test_plain_values_are_read_as_python_reads_them(value: object, protocol: int) -> None:
    # Bytes have an opcode of their own from protocol 3 on; before that they are a call.
    data = pickle.dumps(value, protocol)
    assume(protocol > 2 or b"_codecs" not in data and b"__builtin__" not in data)
    assert load(data) == value


@pytest.mark.parametrize("protocol", [0, 1])
@given(value=st.recursive(st.none() | st.integers() | st.text("ab\né"), st.lists, max_leaves=9))
def test_the_text_protocols_are_read_too(protocol: int, value: object) -> None:
    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_a_shared_part_is_one_object_and_a_cycle_is_closed(protocol: int) -> None:
    shared: list[object] = [1]
    cycle: list[object] = [shared, shared]
    cycle.append(cycle)
    loaded = load(pickle.dumps(cycle, protocol))
    assert isinstance(loaded, list)
    assert loaded[0] == [1] and loaded[0] is loaded[1] and loaded[2] is loaded


@pytest.mark.parametrize("protocol", range(2, 6))
def test_an_object_is_its_class_arguments_and_state(protocol: int) -> None:
    call = load(pickle.dumps(Custom(5), protocol))
    assert isinstance(call, Call) and isinstance(call.function, Global)
    assert call.function.path == f"{__name__}.Custom"
    assert (call.arguments, call.state) == ((), {"value": 5})


def test_slots_and_ordered_dicts_and_sets() -> None:
    slots = load(pickle.dumps(Sparing(5), 4))
    assert isinstance(slots, Call) and slots.state == (None, {"value": 5})
    ordered = load(pickle.dumps(OrderedDict(a=1, b=2), 2))
    assert isinstance(ordered, Call) and ordered.items == {"a": 1, "b": 2}
    numbers = load(pickle.dumps({1, 2, 3}, 4))
    assert isinstance(numbers, Call) and numbers.elements == [1, 2, 3]
    frozen = load(pickle.dumps(frozenset({1}), 4))
    assert isinstance(frozen, Call) and frozen.arguments == ([1],)


@pytest.mark.parametrize("value", [datetime(2024, 5, 6), PurePosixPath("/a/b"), range(3), 1j])
@pytest.mark.parametrize("protocol", range(2, 6))
def test_foreign_objects_are_described(value: object, protocol: int) -> None:
    call = load(pickle.dumps(value, protocol))
    assert isinstance(call, Call) and isinstance(call.function, Global)
    assert call.function.name in ("datetime", "PurePosixPath", "range", "xrange", "complex")


def test_names_are_those_of_today_whatever_the_protocol() -> None:
    old = load(pickle.dumps(complex, 2))
    assert isinstance(old, Global)
    assert (old.module, old.path) == ("__builtin__", "builtins.complex")


def test_keyword_arguments_are_kept() -> None:
    body = p.global_of("a", "B") + p.tuple_of(b"K\x01") + p.dict_of({"c": b"K\x02"}) + b"\x92"
    call = load(p.program(body))
    assert isinstance(call, Call) and (call.arguments, call.keywords) == ((1,), {"c": 2})


@pytest.mark.parametrize("data", [b"x" * INLINE_LIMIT, b"x" * (INLINE_LIMIT + 1)])
def test_long_payloads_stay_in_the_stream(data: bytes) -> None:
    stream = pickle.dumps([data, data.decode(), 7], 4)
    loaded = load(stream)
    assert isinstance(loaded, list) and loaded[2] == 7
    if len(data) <= INLINE_LIMIT:
        assert loaded[:2] == [data, data.decode()]
        return
    for span, is_text in zip(loaded[:2], (False, True), strict=True):
        assert isinstance(span, Span) and span.is_text is is_text
        assert stream[span.start : span.start + span.size] == data


def test_several_pickles_follow_each_other_in_one_stream() -> None:
    data = pickle.dumps([1], 2) + pickle.dumps("two", 2) + b"rest"
    stream = io.BytesIO(data)
    reader = PickleReader(stream, len(data))
    assert (reader.load(), reader.load()) == ([1], "two")
    assert stream.read() == b"rest"


def test_references_are_collected_in_order() -> None:
    body = p.pair_of(p.text("one") + b"Q", b"Ptwo\n")
    reader = PickleReader(io.BytesIO(p.program(body)), len(p.program(body)))
    loaded = reader.load()
    assert isinstance(loaded, tuple) and isinstance(loaded[0], PersistentId)
    assert [reference.value for reference in reader.persistent_ids] == ["one", "two"]


def test_keys_that_are_no_scalars_compare_by_identity() -> None:
    long = 1 << 64
    loaded = load(pickle.dumps({(1, 2): "tuple", long: "long", 5: "five"}, 2))
    assert isinstance(loaded, dict)
    keys = list(loaded)
    assert isinstance(keys[0], IdentityKey) and keys[0].value == (1, 2)
    assert isinstance(keys[1], IdentityKey) and keys[1].value == long
    assert keys[2] == 5


def test_text_of_python_2_is_text_where_it_can_be() -> None:
    assert load(b"\x80\x02U\x03abc.") == "abc"
    assert load(b"\x80\x02U\x02\xff\xfe.") == b"\xff\xfe"
    assert load(b"S'a\\x41\\n'\n.") == "aA\n"
    assert load(b"\x80\x02T\x03\x00\x00\x00abc.") == "abc"


def test_text_that_is_no_utf8_stays_readable() -> None:
    assert load(b"\x80\x02X\x02\x00\x00\x00a\xff.") == "a\\xff"


@pytest.mark.parametrize("cut", range(1, 60))
def test_every_truncation_is_refused(cut: int) -> None:
    whole = pickle.dumps({"name": [1, 2.5, "text", b"bytes", (None, True)], "x": 70000}, 4)
    with pytest.raises(CheckpointError, match="truncated|damaged"):
        load(whole[: len(whole) - cut])


def test_every_opcode_of_pickle_has_its_handler() -> None:
    alike = {"NEWOBJ": "REDUCE", "BYTEARRAY8": "BINBYTES8"}  # to a reader that calls nothing
    expected = {
        opcode.code.encode("latin-1"): alike.get(opcode.name, opcode.name).replace("_", "")
        for opcode in pickletools.opcodes
    }
    names = {code: found.__name__.replace("_", "").upper() for code, found in HANDLERS.items()}
    assert names == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x8e" + struct.pack("<Q", 1 << 50), "announces 1,125,899,906,842,624 bytes"),
        (b"h\x01", "reference that does not exist"),
        (b"\x93", "nothing to work on"),
        (b"Iabc\n", "it has text where a number should be"),
        (b"I" + b"1" * 5000 + b"\n", "too long"),
        (b"Snoquotes\n", "no quotes"),
        (b"T\xff\xff\xff\xff", "negative length"),
    ],
)
def test_nonsense_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        load(p.program(body))


def test_the_number_of_opcodes_is_limited_over_all_pickles_of_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtdetr_nb.checkpoint.reading.pickle.reader.MAXIMUM_OPCODES", 10)
    data = p.program(b"N0N") * 3  # five opcodes each
    reader = PickleReader(io.BytesIO(data), len(data))
    reader.load()
    reader.load()
    with pytest.raises(CheckpointError, match="instructions"):
        reader.load()
