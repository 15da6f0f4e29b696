"""Below each widget lies a folded copy, which a saved notebook still shows."""

import pytest

from rtdetr_nb.ui import static_twin
from rtdetr_nb.ui.file_chooser import choose_checkpoint
from rtdetr_nb.ui.guess import guess
from tests.ui.fake_page import Page

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page()
    monkeypatch.setattr(static_twin, "display", page.display)
    return page


def test_the_copy_of_a_question_gets_its_answer(twins: Page):
    question = guess("How many?", {"one": 1, "two": 2}, lambda: 2)
    question._ipython_display_()
    widget, copy = twins.bundles
    assert WIDGET in widget and WIDGET not in copy
    assert copy["text/html"].startswith("<details>") and "How many?" in copy["text/html"]
    question._button.click()
    assert "The answer: two." in twins.bundles[1]["text/html"]


def test_the_copy_of_a_chooser_names_the_file_that_is_opened(twins: Page, whole_file):
    chooser = choose_checkpoint(whole_file.parent, whole_file)
    chooser._ipython_display_()
    assert WIDGET in twins.bundles[0] and WIDGET not in twins.bundles[1]
    chooser.open_file()
    assert "HGNetv2-L" in twins.bundles[1]["text/html"]


def test_without_a_display_nothing_follows(twins: Page):
    guess("?", {"one": 1}, lambda: 1)._button.click()
    assert twins.bundles == []
