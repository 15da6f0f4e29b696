"""What a person probably meant."""

import pytest

from rtdetr_nb.text.suggestion import suggest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epochs", "Did you mean 'epoches'?"),
        ("hgnetv2", "Did you mean 'HGNetv2'?"),
        (3, ""),
        ("nothing like it", ""),
    ],
)
def test_the_nearest_name_is_offered(name, expected):
    assert suggest(name, iter(["epoches", "HGNetv2", "optimizer"])) == expected
