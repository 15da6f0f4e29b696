"""Few patterns that match exactly what is wanted."""

from fnmatch import fnmatchcase

import pytest

from rtdetr_nb.text.kind_patterns import cover_by_kind

NAMES = [
    f"{block}.{leaf}"
    for block in ("stem.stem1", "stages.0.blocks.0", "stages.1.blocks.0")
    for leaf in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
]


def matched(patterns: list[str]) -> set[str]:
    return {n for n in NAMES if any(fnmatchcase(n, p) for p in patterns)}


@pytest.mark.parametrize(
    ("wanted", "patterns"),
    [
        ([n for n in NAMES if ".bn." in n], ["*.bn.*"]),
        ([n for n in NAMES if ".running_" in n], ["*.running_*"]),
        ([n for n in NAMES if n.endswith("bn.bias")], ["*.bias"]),
        ([n for n in NAMES if ".conv." in n], ["*.conv.*"]),
        (["stem.stem1.bn.bias"], ["stem.stem1.bn.bias"]),
        ([], []),
    ],
)
def test_a_kind_is_one_pattern(wanted: list[str], patterns: list[str]):
    assert cover_by_kind(NAMES, wanted) == patterns
    assert matched(patterns) == set(wanted)


def test_one_of_a_kind_left_out_is_never_matched():
    wanted = {n for n in NAMES if ".bn." in n} - {"stages.1.blocks.0.bn.weight"}
    patterns = cover_by_kind(NAMES, wanted)
    assert matched(patterns) == wanted and len(patterns) < len(wanted)
