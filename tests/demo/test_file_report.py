"""The page on one file, without a training."""

from pathlib import Path

import pytest

import rtdetr_nb as rt
from rtdetr_nb.cli.main import main
from tests.paths import DATA

DEMO = DATA / "demo_backbone_mmdet.pth"


def test_a_page_without_pictures_says_what_loads(tmp_path: Path) -> None:
    page = rt.write_report(DEMO, tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "Loads: 400 of 400 backbone tensors" in page
    assert "nothing is known of the input format" in page and "Probe" not in page
    assert "rtdetr-nb convert --input" in page and "<script src" not in page


def test_a_file_of_another_size_has_what_to_do(tmp_path: Path) -> None:
    page = rt.write_report(DEMO, tmp_path / "page.html", "rtdetrv2_hgnetv2_x").read_text()
    assert "Loads in part" in page and "Use the configuration of that size" in page
    assert "convert --input" not in page


@pytest.mark.slow
def test_the_command_looks_at_the_pictures(tmp_path: Path, capsys) -> None:
    page = tmp_path / "page.html"
    words = ["report", str(DEMO), "--data", str(DATA / "shapes"), "--output", str(page)]
    assert main(words) == 0
    assert capsys.readouterr().out == f"Open {page} in a browser.\n"
    text = page.read_text(encoding="utf-8")
    assert "Which pictures does it expect?" in text and "A linear classifier" in text
    assert text.count("data:image") == 2
