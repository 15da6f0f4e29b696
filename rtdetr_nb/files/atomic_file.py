"""Files that are either whole or not there."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# What network and object stores (SMB, S3) answer to an operation that they do not have.
_NOT_OFFERED = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES}
)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then rename it to `path`.

    A crash at any moment leaves the previous file, or the new one, whole; never a part of one. On
    an error the temporary file is removed and the error goes on. A file system that has no flushing
    or no permissions gets the file without them.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb+") as file, _where_offered():
            os.fsync(file.fileno())
        with _where_offered():
            temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def share_atomically(source: Path, path: Path) -> bool:
    """Let `path` be the same file as `source` (a hard link), which takes no room on the disk.

    What `path` was before is there until then. Returns whether it was done: a file system without
    hard links, or one that is full, leaves `path` as it was.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            link = Path(folder, path.name)
            os.link(source, link)
            os.replace(link, path)
    except OSError:
        return False
    _sync_folder(path.parent)
    return True


@contextmanager
def _where_offered() -> Iterator[None]:
    """Let pass that the file system does not offer an operation; any other failure goes on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets folders be opened and flushed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with _where_offered():
            os.fsync(handle)
    finally:
        os.close(handle)
