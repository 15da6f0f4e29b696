"""Numbers of bytes in words."""

_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def spoken_bytes(count: float) -> str:
    """Return a number of bytes in words: "184 MB", "1.42 GB"."""
    for unit, size in _UNITS:
        if count >= size:
            value = count / size
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{count:.0f} bytes"
