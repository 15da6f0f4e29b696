"""Names out of a file, made safe to print."""


def printable(text: str) -> str:
    """Return the text with control characters spelt out.

    A name in a file can be anything; what moves a terminal's cursor or changes its colours must
    not reach it.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
