"""The table of bench/README.md is replaced, and nothing else of the page."""

import pytest

from bench.table import BEGIN, END, as_markdown, with_table
from tests.paths import ROOT

PAGE = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")


def test_the_table_of_the_page_is_replaced_and_its_text_stays() -> None:
    table = as_markdown("a machine", [("a step", 0.8567, "320 px"), ("a page", 12.0, "seconds")])
    written = with_table(PAGE, table)
    assert "Measured on a machine." in written
    assert "| a step | 0.857 | 320 px |\n| a page | 12 | seconds |" in written
    assert "| step float32 |" not in written
    assert written.split(BEGIN)[0] == PAGE.split(BEGIN)[0]
    assert written.split(END)[1] == PAGE.split(END)[1]
    assert with_table(written, table) == written


@pytest.mark.parametrize("page", ["", f"{END}{BEGIN}", BEGIN])
def test_a_page_without_the_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="make bench writes from here"):
        with_table(page, "table")
