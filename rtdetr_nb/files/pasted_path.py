"""Paths as people give them: typed, pasted from a terminal, a file manager or a browser."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rtdetr_nb.errors import UserError

_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
# Two letters or more: one letter and a colon is a drive.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}")


def pasted_path(given: str | os.PathLike[str], error: type[UserError] = UserError) -> Path:
    """The path that is meant: without blanks and quotes around it, `~` and `file://` resolved.

    A file that has just the given name is taken as it is, quotes and all. Whether there is such a
    file is for the caller to see.

    Args:
        given: a path, as text or not.
        error: kind of the error to raise.

    Raises:
        UserError: nothing is given, it is an address on the network, or no system takes it for a
            path.
    """
    text = os.fspath(given)
    if "\0" in text:
        raise error(f"{text!r} cannot be a path: it holds a zero byte.")
    if not isinstance(given, str) or os.path.exists(text):
        return _without_tilde(text, error)
    text = _without_quotes(text)
    if not text:
        raise error("There is no path. Give the path of a file or folder.")
    if _ADDRESS.match(text):
        text = _local_file(text, error)
    return _without_tilde(_without_escapes(text), error)


def _without_quotes(text: str) -> str:
    """Without blanks around it, and without quotes that belong together."""
    text = text.strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def _local_file(address: str, error: type[UserError]) -> str:
    """The path in a `file://` address."""
    parts = urlsplit(address)
    if parts.scheme.lower() != "file":
        raise error(
            f"{address} is an address. Nothing is downloaded here: fetch it, then give the file."
        )
    if parts.netloc.lower() not in ("", "localhost"):
        raise error(
            f"{address} lies on another machine ({parts.netloc}). Give a path of this machine."
        )
    # An unquoted `#` or `?` is part of the name: it is no address of a page.
    path = unquote(address.split(":", 1)[1].removeprefix("//").removeprefix("localhost"))
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path  # file:///C:/data


def _without_escapes(text: str) -> str:
    r"""A path with `\ ` for blanks, as a terminal shows it, where only so it exists."""
    plain = re.sub(r"\\(?=[ ()'&#])", "", text)
    return plain if not os.path.exists(text) and os.path.exists(plain) else text


def _without_tilde(text: str, error: type[UserError]) -> Path:
    try:
        return Path(text) if os.path.exists(text) else Path(text).expanduser()
    except RuntimeError as caught:  # a user who is not known
        raise error(f"There is no path {text}: {caught}.") from caught
