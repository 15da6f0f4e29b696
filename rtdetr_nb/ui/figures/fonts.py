"""Characters that matplotlib's own font lacks: from installed fonts, or a mark in their place.

Names of runs, files and classes may be Chinese, Japanese or Korean, and the font that comes with
matplotlib has none of these characters. Only the texts of one figure are touched, nothing global.
"""

import contextlib
import functools
import logging
from collections.abc import Iterator, Sequence

from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

logger = logging.getLogger(__name__)

# As the systems call theirs, and the free ones.
CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "PingFang HK",
    "Heiti TC",
    "Hiragino Sans GB",
    "Arial Unicode MS",
    "Yu Gothic",
    "Malgun Gothic",
)
_MARK = "?"


@contextlib.contextmanager
def drawable_texts(figure: Figure) -> Iterator[None]:
    """Let every text of a figure be drawable as long as this lasts.

    Texts get the installed families as fallbacks, for good. A character that none of them has is a
    question mark meanwhile: matplotlib warns of each one at each drawing.
    """
    changed: list[tuple[Text, str]] = []
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words = text.get_text()
        if words.isascii():
            continue
        missing = _add_families(text, words)
        if missing:
            _say_once()
            changed.append((text, words))
            text.set_text(_marked(words, missing))
    try:
        yield
    finally:
        for text, words in changed:
            text.set_text(words)


def drawable_words(words: str) -> str:
    """Words with a question mark for each character that no font has.

    For the labels of ticks: an axis writes them anew at each drawing.
    """
    missing = _missing(words, [*rcParams["font.family"], *installed_families()])
    if missing:
        _say_once()
    return _marked(words, missing)


def _marked(words: str, missing: set[str]) -> str:
    return "".join(_MARK if letter in missing else letter for letter in words)


def _add_families(text: Text, words: str) -> set[str]:
    """Give a text the fallbacks that it needs; the characters that are missing all the same."""
    families = text.get_fontfamily()
    missing = _missing(words, families)
    more = [name for name in installed_families() if name not in families] if missing else []
    if more:
        text.set_fontfamily([*families, *more])
        missing = _missing(words, text.get_fontfamily())
    return missing


@functools.cache
def installed_families() -> tuple[str, ...]:
    """Those of `CJK_FAMILIES` that matplotlib finds on this machine."""
    known = set(fontManager.get_font_names())
    return tuple(name for name in CJK_FAMILIES if name in known)


def _missing(words: str, families: Sequence[str]) -> set[str]:
    fonts = [get_font(findfont(FontProperties(family=[name]))) for name in families]
    return {
        letter
        for letter in words
        if letter != "\n" and not any(font.get_char_index(ord(letter)) for font in fonts)
    }


@functools.cache
def _say_once() -> None:
    logger.warning(
        "No installed font has all characters of the figures' names; question marks stand in their "
        "places. Install one that has them, for example Noto Sans CJK, and restart the kernel."
    )
