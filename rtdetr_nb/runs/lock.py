"""One run in a folder at a time.

The lock is the system's own on a file of the folder, held for as long as the run lives. The system
gives it back however the process ends, so a dead run never keeps a folder; what the file then still
says is which run died. (A file that merely exists would have to be judged by its process id, which
cannot be done from another host.)
"""

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.file_names import LOCK_FILE

if TYPE_CHECKING:
    from rtdetr_nb.runs.run import Run

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 2.0  # a process that starts a run holds the lock while it prepares the folder


class RunLock:
    """The lock on a folder.

    It is of the kind that belongs to the process (`lockf`): data workers, which inherit the open
    file, do not keep it when the run is killed. For the same reason no second lock on the folder
    may be opened in a process that holds it: closing that one would release both.

    Args:
        folder: of the run; it has to exist.

    Attributes:
        stale: what the file said of a run that crashed or was killed; None if no run did.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._file: IO[str] | None = None
        self._is_described = False
        self.stale: dict[str, Any] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunError: another process holds it, the file cannot be written, or this system has no
                such locks.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        file = self._open()
        while not _try_lock(file):
            if time.monotonic() > deadline:
                holder = _read(file)
                file.close()
                raise RunError(
                    f"A run is still going on in {self._path.parent} ({_describe(holder)}). Stop "
                    "it, or give another output folder (--output-dir)."
                )
            time.sleep(0.05)
        self._file = file
        self.stale = _read(file) or None

    def describe(self, **facts: object) -> None:
        """Write who holds the lock, for those who are refused or who find it stale."""
        self._write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), **facts}))
        self._is_described = True

    def release(self) -> None:
        """Give the lock back; the file stays, since removing it could remove another's lock."""
        if self._file is None:
            return
        if self._is_described:
            self._write("")
        self._file.close()
        self._file = None

    @property
    def takeover_note(self) -> str:
        """A sentence about the stale lock that was taken over; empty if there was none."""
        if self.stale is None:
            return ""
        return (
            f"The run in {self._path.parent} before this one crashed or was killed "
            f"({_describe(self.stale)}); its lock is taken over."
        )

    def _open(self) -> IO[str]:
        try:
            return open(self._path, "a+", encoding="utf-8")
        except OSError as error:
            raise RunError(
                f"The lock {self._path} cannot be opened ({error.strerror}). Give another output "
                "folder (--output-dir)."
            ) from error

    def _write(self, text: str) -> None:
        assert self._file is not None
        try:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(text)
            self._file.flush()
        except OSError as error:  # a full disk: the lock itself holds without its description
            logger.warning("%s cannot be written (%s).", self._path, error.strerror)


def _try_lock(file: IO[str]) -> bool:
    try:
        # Not at the top: Windows does not have it, and reading the records of a run works there.
        import fcntl
    except ImportError as error:
        file.close()
        raise RunError(
            "Training needs the file locks of Linux or macOS, which this system does not have. "
            "Train there (on Windows: in WSL 2); the records of a run can be read here."
        ) from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of the two is up to the system
        return False
    except OSError as error:
        logger.warning("This file system has no locks (%s): runs are not kept apart.", error)
    return True


def _read(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        content = json.loads(file.read() or "{}")
    except ValueError:  # its writer was killed in the middle
        return {"pid": "unknown", "host": "unknown"}
    return content if isinstance(content, dict) else {}


def _describe(holder: dict[str, Any]) -> str:
    if not holder:
        return "it is just being started"
    since = f", since {holder['started']}" if "started" in holder else ""
    return f"process {holder.get('pid')} on {holder.get('host')}{since}"


@contextlib.contextmanager
def preparing(run: "Run") -> Iterator[None]:
    """Keep other runs out of the folder until this one is described in it.

    Raises:
        RunError: a run lives there, or the body of the `with` cannot write a file.
    """
    lock = RunLock(run.folder)
    lock.acquire()
    try:
        seen = run.describe()
        if seen.description and not seen.is_over:
            raise RunError(
                f"A run is still going on in {run.folder} ({run!r}). Stop it, or give another "
                "output_dir."
            )
        yield
    except OSError as error:
        raise RunError(
            f"A run cannot be started in {run.folder}: {error.strerror} "
            f"({error.filename or 'no file'}). Make room, or give another output_dir."
        ) from error
    finally:
        lock.release()
