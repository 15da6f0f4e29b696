"""Where the notebooks, the sample pictures and the demo checkpoint are, and where `runs/` goes.

A checkout has them beside the package; a wheel carries them inside it (`setup.py` puts them there).
"""

from pathlib import Path

from rtdetr_nb.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]
# Where a wheel keeps them.
_CARRIED = _PACKAGE / "shipped"


def checkout() -> Path | None:
    """The root of the checkout that the package runs from; None for an installed package."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def shipped(relative: str) -> Path:
    """A shipped file or folder, such as "data/shapes".

    Returns:
        Its path, relative to the working folder where it lies below that.

    Raises:
        UserError: it is not there.
    """
    path = (checkout() or _CARRIED) / relative
    if not path.exists():
        raise UserError(
            f"There is no {path}: this copy of rtdetr_nb is incomplete. Install it again from a "
            "wheel or a checkout, or name a file or folder that you have."
        )
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def working_root() -> Path:
    """The folder whose `runs/` is written to.

    It is the checkout for all folders inside it, and else the working folder.
    """
    root, here = checkout(), Path.cwd()
    return root if root is not None and here.is_relative_to(root) else here
