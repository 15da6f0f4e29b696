"""Fonts for names in Chinese, Japanese and Korean, which matplotlib's own font does not have."""

import functools
import logging
import warnings
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

logger = logging.getLogger(__name__)

# Under the names that the systems use, and the free ones.
CJK_FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
    "Source Han Sans CN", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "SimHei", "PingFang SC", "PingFang HK", "Heiti TC", "Hiragino Sans GB",
    "Arial Unicode MS", "Yu Gothic", "Malgun Gothic",
)  # fmt: skip


def add_fallback_fonts(figure: Figure) -> None:
    """Let each text of a figure take what its font lacks from the installed families."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words, families = text.get_text(), text.get_fontfamily()
        if words.isascii() or _have_all(families, words):
            continue
        families = [*families, *(name for name in installed_families() if name not in families)]
        text.set_fontfamily(families)
        if not _have_all(families, words):
            _warn_once()


def _have_all(families: Sequence[str], words: str) -> bool:
    """Whether each character stands in the font of at least one of the families."""
    fonts = [get_font(findfont(FontProperties(family=[name]))) for name in families]
    return all(any(font.get_char_index(ord(c)) for font in fonts) for c in words if c != "\n")


@functools.cache
def installed_families() -> tuple[str, ...]:
    """Return those of `CJK_FAMILIES` that matplotlib finds on this machine."""
    known = set(fontManager.get_font_names())
    return tuple(name for name in CJK_FAMILIES if name in known)


@functools.cache
def _warn_once() -> None:
    # matplotlib warns of each such character at each drawing, and a live plot draws often.
    warnings.filterwarnings("ignore", "Glyph .* missing from", module=r"rtdetr_nb\.ui\.figures")
    logger.warning(
        "No installed font has all characters of the figures' names; boxes stand in their places. "
        "Install one that has them, for example Noto Sans CJK, and restart the kernel."
    )
