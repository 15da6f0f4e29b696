"""Durations in words."""


def duration(seconds: float) -> str:
    """Return seconds in words: "8 s", "2 min 05 s", "3 h 20 min", "2 d 4 h"."""
    seconds = max(0, round(seconds))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    if minutes:
        return f"{minutes} min {seconds % 60:02} s"
    return f"{seconds} s"
