"""Where the demo data and the notebooks are: they belong to a checkout, not to the package."""

from pathlib import Path

from rtdetr_nb.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[2]


def shipped(relative: str) -> Path:
    """A file or folder of the checkout, relative to the working folder where that is shorter.

    Raises:
        UserError: the package was installed without a checkout.
    """
    path = CHECKOUT / relative
    if not path.exists():
        raise UserError(
            f"There is no {relative} beside the package: it comes with a checkout of the "
            "repository, not with an installed package. Run this in a checkout, or name your own."
        )
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
