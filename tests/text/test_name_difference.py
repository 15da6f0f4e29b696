"""Which words of a name a renaming changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.text.name_difference import name_difference


def shown(segments) -> str:
    return "".join(f"[{piece.text}]" if piece.changed else piece.text for piece in segments)


@pytest.mark.parametrize(
    ("model", "found", "in_model", "in_file"),
    [
        ("backbone.stem.a", "state.stem.a", "[backbone].stem.a", "[state].stem.a"),
        ("backbone.stem.a", "stem.a", "[backbone.]stem.a", "stem.a"),
        (
            "stages.0.aggregation_squeeze_conv.bn",
            "stages_0.aggregation.0.bn",
            "stages[.]0.aggregation[_squeeze_conv].bn",
            "stages[_]0.aggregation[.0].bn",
        ),
        ("stem.bn.running_mean", "stem.bn._mean", "stem.bn.[running]_mean", "stem.bn._mean"),
        ("a.b", "a.b", "a.b", "a.b"),
    ],
)
def test_changed_words_are_marked(model, found, in_model, in_file):
    assert tuple(map(shown, name_difference(model, found))) == (in_model, in_file)


@given(st.text(alphabet="ab._", max_size=12), st.text(alphabet="ab._", max_size=12))
def test_the_pieces_are_the_names(model, found):
    sides = name_difference(model, found)
    assert tuple("".join(piece.text for piece in side) for side in sides) == (model, found)
    same = ["".join(piece.text for piece in side if not piece.changed) for side in sides]
    assert same[0] == same[1]
