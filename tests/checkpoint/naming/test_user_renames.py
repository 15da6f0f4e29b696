"""Renamings that a user asks for: what they do, and what is said of those that cannot be."""

import pytest

from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.naming.user_renames import Rename, apply_renames, read_renames
from rtdetr_nb.errors import CheckpointError
from tests.checkpoint.listed import below, listed, named
from tests.checkpoint.wild import CONFIG


def test_renamings_are_read_from_texts_and_from_a_mapping():
    assert read_renames(r"^a\.=b.") == (Rename(r"^a\.", "b."),)
    assert read_renames([r"(?<=x)y=z", "w="]) == (Rename("(?<=x)y", "z"), Rename("w", ""))
    assert read_renames({"a=b": "c"}) == (Rename("a=b", "c"),)
    assert read_renames(None) == ()


def test_they_are_applied_in_their_order_and_each_is_kept():
    renamed = apply_renames(["a.x", "c.x"], read_renames([r"^a=b", r"^b\.(\w)=\1.d"]))
    assert renamed == {
        "a.x": ("x.d", (r"--rename ^a=b", r"--rename ^b\.(\w)=\1.d")),
        "c.x": ("c.x", ()),
    }


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ("stages", "has no ="),
        ("(=x", "is no regular expression"),
        ("=x", "is no regular expression .it is empty"),
        (r"^a=\3", "does not fit its pattern"),
        (r"^z=y", "changes none of the 2 names.*begin with a.x, b.x"),
        (r"^[ab]=c", "would give a.x and b.x the one name c.x"),
        (r".*=", "would give a.x no name"),
    ],
)
def test_a_renaming_that_cannot_be_is_a_sentence(rename, words):
    with pytest.raises(CheckpointError, match=words):
        apply_renames(["a.x", "b.x"], read_renames([rename]))


def test_rows_show_the_key_of_the_file_and_the_renaming():
    shapes = named(lambda name: name.replace("stages.", "levels."), below("net."))
    diff = compare(listed(shapes, rename=[r"\.levels\.=.stages."]), CONFIG)
    assert diff.counts["matched"] == 400
    row = next(row for row in diff.rows if "stages.3.downsample.conv" in (row.model_key or ""))
    assert row.checkpoint_key == "net.levels.3.downsample.conv.weight"
    assert row.rule == r"--rename \.levels\.=.stages."


def test_heads_are_found_under_renamed_names():
    detector = {"det.back.stem.stem1.conv.weight": (32, 3, 3, 3), "det.encoder.x": (3,)}
    opened = listed(detector, rename=[r"\.back\.=.backbone."])
    assert opened.candidates[0].root == "det."
    assert opened.keys_behind("det.")["encoder.x"] == "det.encoder.x"
