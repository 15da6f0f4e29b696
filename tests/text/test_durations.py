import pytest

from rtdetr_nb.text.durations import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (12000, "3 h 20 min"),
     (187200, "2 d 4 h"), (-3, "0 s")],
)  # fmt: skip
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
