"""Where the log lines of a training go."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rtdetr_nb.runs.process import start_line


class _LogFile(logging.FileHandler):
    """A log file on a full disk must not end the run: the lines still go to standard error."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave the line out."""


@contextlib.contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """Log lines go to the run's log file, and to standard error unless that is the same file.

    Without a path, in a process other than the first, errors go to standard error, nothing else.
    """
    root = logging.getLogger("rtdetr_nb")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None and not _is_same_file(path):
        handlers.append(_LogFile(path, encoding="utf-8"))
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(start_line())
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)
    root.setLevel(logging.ERROR if path is None else logging.INFO)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _is_same_file(path: Path) -> bool:
    """Whether standard error already goes to `path`, as in a run that a notebook started."""
    try:
        return os.path.samestat(os.fstat(sys.stderr.fileno()), path.stat())
    except (OSError, ValueError):
        return False
