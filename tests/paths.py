"""Where the tests find the checkout and their golden data."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data"
REFERENCE = ROOT / "tests" / "reference"
