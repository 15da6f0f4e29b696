"""Puts the notebooks, the sample pictures and the demo checkpoint into the wheel.

Everything else about the package is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = (
    "notebooks",
    "data/README.md",
    "data/shapes",
    "data/demo_backbone_mmdet.pth",
)
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__")


class BuildWithShippedFiles(build_py):
    """Copies what `rtdetr_nb.files.checkout` finds in a checkout to `rtdetr_nb/shipped/`."""

    def run(self) -> None:
        """Build the package, and put the files into it unless it stays in the checkout."""
        super().run()
        if self.editable_mode:
            return
        shipped = Path(self.build_lib, "rtdetr_nb", "shipped")
        shutil.rmtree(shipped, ignore_errors=True)  # of an earlier build
        for name in SHIPPED:
            source, target = Path(name), shipped / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=_LEFT_OUT)
            else:
                shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithShippedFiles})
