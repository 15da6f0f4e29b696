"""The first names of many."""

from rtdetr_nb.text.listing import first_of


def test_the_first_names_and_how_many_more():
    names = [f"n{index}" for index in range(1234)]
    assert first_of(names[:3]) == "n0, n1, n2"
    assert first_of(names[:4]) == "n0, n1, n2 and 1 more"
    assert first_of(names, 1) == "n0 and 1,233 more"
    assert first_of(names, 2, more="") == "n0, n1"
    assert first_of(names, 2, more=", ... ({})") == "n0, n1, ... (1,232)"
    assert first_of([]) == ""
