"""Tables as text and HTML, and names that must not reach a terminal as they are."""

import re

import pytest

from rtdetr_nb.checkpoint.comparison.diff_tables import diff_tables, part_table, row_table
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import Table


def test_columns_are_aligned():
    table = Table("title", ("name", "n"), (("a", "1"), ("long", "10")), frozenset({"n"}), "end")
    assert table.text().splitlines() == [
        "title",
        "  name   n",
        "  a      1",
        "  long  10",
        "  end",
    ]


def test_html_is_escaped_and_numbers_are_on_the_right():
    page = Table("<t>", ("a", "n"), (("<b>", "1"),), frozenset({"n"}), "<f>").html()
    assert "<b>" not in page.replace("<b>&lt;t&gt;</b>", "")
    assert (
        "&lt;b&gt;" in page and re.search("text-align:right[^>]*>1<", page) and "&lt;f&gt;" in page
    )


def test_long_lists_are_cut_aloud(backbone_diff):
    rows = tuple(row for row in backbone_diff.rows if row.status == "matched")
    table = row_table("matched", rows)
    assert len(table.rows) == 12 and table.footer == "and 91 more lines"


def test_a_part_without_tensors_has_no_share(backbone_diff):
    shares = {row[0]: row[-1] for row in part_table(backbone_diff.parts).rows}
    assert shares["stem"] == "100.0%" and shares["decoder"] == "0.0%" and shares["other"] == "-"


def test_a_backbone_file_shows_no_list_of_missing_heads(backbone_diff):
    titles = [table.title for table in diff_tables(backbone_diff)]
    assert titles == ["", "unused: 1"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("backbone.stem", "backbone.stem"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\u202eevil", r"\u202eevil"),
        ("主干.权重", "主干.权重"),
    ],
)
def test_control_characters_are_spelt_out(name, shown):
    assert printable(name) == shown
    assert shown in Table("", ("name",), ((name,),)).text()
