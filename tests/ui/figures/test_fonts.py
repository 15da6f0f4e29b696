"""Names in characters that matplotlib's own font does not have."""

import logging
import warnings
from collections.abc import Iterator

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from rtdetr_nb.ui.figures import fonts
from rtdetr_nb.ui.figures.base import to_png
from tests.ui.figures.figures_of_names import figures_with

CHINESE = "\u4e2d\u6587 star"  # the characters of "Chinese"


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """What was found out for another test is found out again."""
    for cached in (fonts.installed_families, fonts._warn_once):
        cached.cache_clear()
    yield
    for cached in (fonts.installed_families, fonts._warn_once):
        cached.cache_clear()


@pytest.fixture
def no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "CJK_FAMILIES", ())


@pytest.mark.usefixtures("no_font")
@pytest.mark.parametrize("kind", ["loss", "accuracy", "pictures", "curves", "run"])
def test_characters_of_no_font_are_said_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    figure = figures_with(CHINESE)[kind]
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.WARNING):
        for _ in range(2):
            to_png(figure)
    assert [record.name for record in caplog.records] == ["rtdetr_nb.ui.figures.fonts"]
    assert "Noto Sans CJK" in caplog.text
    assert warned == []  # matplotlib says nothing beside it


@pytest.mark.usefixtures("no_font")
def test_figures_of_others_are_still_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    to_png(figures_with(CHINESE)["run"])
    other = Figure()
    other.text(0.5, 0.5, CHINESE)
    with pytest.warns(UserWarning, match="Glyph .* missing from"):
        FigureCanvasAgg(other).draw()
    assert len(caplog.records) == 1


def test_accents_need_no_other_font(caplog: pytest.LogCaptureFixture) -> None:
    to_png(figures_with("Ångström")["accuracy"])
    assert caplog.records == []


def test_an_installed_family_draws_what_the_own_font_lacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A font of symbols plays the Chinese one: what counts is that the own font lacks them."""
    symbols = "\ue000"  # in the private area, of which the own font has nothing here
    monkeypatch.setattr(fonts, "CJK_FAMILIES", ("Not Installed", "STIXNonUnicode"))
    assert fonts.installed_families() == ("STIXNonUnicode",)
    before = dict(matplotlib.rcParams)
    figure = figures_with(symbols)["run"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = to_png(figure)
    assert drawn != to_png(figures_with("?")["run"])
    # Matplotlib 3.10.0 says of its own style sheets that a parser's names are old.
    assert [r for r in caplog.records if r.name != "matplotlib.style.core"] == []
    assert dict(matplotlib.rcParams) == before


def test_plain_names_keep_their_font() -> None:
    figure = figures_with("star")["run"]
    families = {tuple(text.get_fontfamily()) for text in figure.findobj(Text)}  # type: ignore[attr-defined]
    to_png(figure)
    after = {tuple(text.get_fontfamily()) for text in figure.findobj(Text)}  # type: ignore[attr-defined]
    assert families == after
