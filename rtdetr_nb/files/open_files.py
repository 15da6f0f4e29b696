"""How many files a process may have open."""

import os

from rtdetr_nb.errors import UserError


def allow_open_files(needed: int, why: str, error: type[UserError] = UserError) -> None:
    """Let this process, and those it starts, open so many files more than it has now.

    Args:
        needed: files beside those that are open.
        why: what needs them and what makes them fewer, as a sentence.
        error: kind of the error to raise.

    Raises:
        UserError: the system does not allow it.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + _open_now()
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise error(
            f"{why} About {wanted} files would be open at once, and the system allows {hard} "
            "(ulimit -Hn)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_now() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return 64
