from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.text.folded_names import folded, template


def test_numbers_that_differ_stand_in_braces():
    names = [f"stages.2.blocks.{b}.layers.{n}.conv.weight" for b in range(6) for n in (0, 3)]
    assert len(set(map(template, names))) == 1
    assert folded(names) == "stages.2.blocks.{0-5}.layers.{0,3}.conv.weight"


def test_one_name_stays_as_it_is():
    assert folded(["stem.stem2a.conv.weight"]) == "stem.stem2a.conv.weight"


@given(st.sets(st.integers(0, 40), min_size=1))
def test_the_braces_hold_all_numbers_and_no_other(numbers):
    text = folded([f"a.{number}.b" for number in numbers]).removeprefix("a.").removesuffix(".b")
    held = set()
    for piece in text.strip("{}").split(","):
        first, _, last = piece.partition("-")
        held |= set(range(int(first), int(last or first) + 1))
    assert held == numbers
