"""Tables in their three forms: nothing cut, nothing unescaped, nothing fetched."""

import json
import re
from html import unescape

import pandas
import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.errors import SelectionError
from rtdetr_nb.ui.tables import show_table, table_view
from tests.checkpoint.wild import save


def cells_of(page: str) -> list[list[str]]:
    """The text of the cells that the table library is given; `<br>` before a name or note."""
    found = re.search(r'"data_json": ("(?:[^"\\]|\\.)*")', page)
    assert found
    rows = json.loads(json.loads(found.group(1)))
    cells = ([str(cell).replace("<div class=n>", "<br>") for cell in row] for row in rows)
    return [[unescape(re.sub("<(?!br>)[^>]*>", "", cell)) for cell in row] for row in cells]


def test_every_row_is_in_the_table_with_its_whole_names(whole_diff: Diff):
    rows = cells_of(table_view(whole_diff).interactive_html())
    found = [(status, *names.split("<br>")) for status, names, *_ in rows]
    expected = [
        (row.status, row.model_key or "-", row.checkpoint_key or "-", *filter(None, [row.note]))
        for row in whole_diff.rows
    ]
    assert sorted(found) == sorted(expected) and len(found) > 800
    order = [status for status, *_ in found]
    # What deserves a look comes first; encoder and decoder, which are missing, after the rest.
    assert order[0] == "unused" and order[1:401] == ["matched"] * 400


def test_both_names_and_shapes_stand_in_a_row(other_size_diff: Diff):
    view = table_view(other_size_diff, status="mismatched")
    cells = view.frame.iloc[0]
    text = re.sub("<br>|<[^>]*>", " ", cells.iloc[1])
    assert "stem.stem4.conv.weight" in text and "stem of an HGNetv2-L" in text
    assert "<mark>backbone</mark>" in cells.iloc[1] and "<mark>state_dict</mark>" in cells.iloc[1]
    assert (cells["model shape"], cells["file shape"]) == ("64x32x1x1", "48x32x1x1")
    assert "mismatched" in cells["status"]


def test_only_the_statuses_that_were_asked_for(whole_diff: Diff):
    assert len(table_view(whole_diff, status="unused").frame) == whole_diff.counts["unused"] == 1
    both = table_view(whole_diff, status=["unused", "missing"]).frame
    assert len(both) == 1 + whole_diff.counts["missing"]
    with pytest.raises(SelectionError, match="no status 'unuesd'"):
        table_view(whole_diff, status="unuesd")


def test_the_static_form_holds_the_counts_and_the_text_is_plain(whole_diff: Diff):
    bundle = table_view(whole_diff)._repr_mimebundle_()
    static = table_view(whole_diff).static_html
    assert bundle["text/html"].startswith(static) and "<script" not in static
    assert "100.0%" in static and "adapters.0.weight" in static
    assert bundle["text/plain"] == str(whole_diff)


def test_nothing_is_asked_of_the_network(whole_diff: Diff):
    page = table_view(whole_diff)._repr_mimebundle_()["text/html"]
    assert not re.search(r"https?://(?!datatables\.net|www\.w3\.org)[^\s\"']*\.(js|css)", page)


def test_names_of_a_hostile_file_are_text(tmp_path):
    path = save({"<img src=x onerror=alert(1)>": torch.ones(2)}, tmp_path / "a.pth")
    view = table_view(open_checkpoint(path))
    page = view.static_html + view.interactive_html()
    assert "<img" not in page and "&lt;img" in view.static_html


def test_a_frame_keeps_its_numbers():
    frame = pandas.DataFrame({"name": ["<b>"], "count": [3]})
    view = table_view(frame)
    assert view.frame["name"][0] == "&lt;b&gt;" and view.frame["count"][0] == 3
    assert view.numeric == {"count"}


def test_names_of_columns_are_text_too():
    hostile = "<img src=x onerror=alert(1)>"
    frame = pandas.DataFrame({hostile: [1.5], 7: ["a"], "right": [True]})
    view = table_view(frame)
    assert "<img" not in view.interactive_html()
    assert list(view.frame.columns) == ["&lt;img src=x onerror=alert(1)&gt;", "7", "right"]
    assert view.numeric == {"&lt;img src=x onerror=alert(1)&gt;"}
    assert view.frame["7"][0] == "a" and hostile in view.text
    twice = table_view(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    assert twice.frame.values.tolist() == [[1, 2]]
    assert len(table_view(pandas.DataFrame()).frame.columns) == 0


def test_outside_of_a_notebook_it_prints(whole_diff: Diff, capsys: pytest.CaptureFixture[str]):
    show_table(whole_diff)
    assert "matched" in capsys.readouterr().out
