import pytest

from rtdetr_nb.text.byte_counts import spoken_bytes


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1500, "1.5 kB"),
        (184_000_000, "184 MB"),
        (99_950_000, "100 MB"),
        (1.234e12, "1.23 TB"),
        (5e15, "5,000 TB"),
    ],
)
def test_bytes_in_words(count, words):
    assert spoken_bytes(count) == words
