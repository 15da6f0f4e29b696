"""`make pictures`: the pictures of docs/ with a palette, which halves their size at least."""

import sys
from pathlib import Path

from PIL import Image

# Screenshots of text and lines have fewer colours than this; only photographs have more.
_COLORS = 256


def shrink(path: Path) -> None:
    """Replace a PNG by one with a palette, where that is smaller."""
    with Image.open(path) as picture:
        palette = picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.FLOYDSTEINBERG)
    smaller = path.with_suffix(".small")
    palette.save(smaller, format="PNG", optimize=True)
    if smaller.stat().st_size < path.stat().st_size:
        smaller.replace(path)
    else:
        smaller.unlink()


if __name__ == "__main__":
    for name in Path(sys.argv[1]).glob("*.png"):
        shrink(name)
