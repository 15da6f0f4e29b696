"""The buttons above a table, on a page by itself: one status, and exports with one thing a cell."""

import csv
from pathlib import Path

import pytest
from itables import options
from itables.javascript import generate_init_offline_itables_html
from playwright.sync_api import Browser, Page, expect

import rtdetr_nb as rt
from rtdetr_nb.ui.tables import table_view
from tests.paths import DATA


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Page:
    """A comparison with another size: tensors of each status."""
    config = rt.load_config("rtdetrv2_hgnetv2_x")
    view = table_view(rt.compare(DATA / "demo_backbone_mmdet.pth", config))
    library = generate_init_offline_itables_html(options.dt_bundle)
    (tmp_path / "a.html").write_text(library + view.interactive_html(), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "a.html").as_uri())
    return page


def test_a_status_alone_and_what_does_not_load_first(page: Page) -> None:
    expect(page.locator("tbody tr").first).to_contain_text("mismatched")
    page.get_by_role("button", name="missing 669").click()
    expect(page.locator(".dt-info")).to_contain_text("of 669 entries (filtered from 1,205")
    page.get_by_role("button", name="all").click()
    expect(page.locator(".dt-info")).to_have_text("Showing 1 to 15 of 1,205 entries")


def test_an_export_has_one_thing_a_cell(page: Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="mismatched 311").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 311
    first = rows[0]
    assert first["status"] == "mismatched"
    assert first["model name"] == "backbone.stem.stem4.conv.weight"
    assert first["file name"] == "state_dict.stem.stem4.conv.weight"
    assert first["note"].startswith("48 output channels")
    assert (first["model shape"], first["file shape"]) == ("64x32x1x1", "48x32x1x1")


def test_excel_is_written_without_the_network(page: Page) -> None:
    page.context.set_offline(True)
    with page.expect_download() as download:
        page.get_by_role("button", name="Excel").click()
    assert download.value.suggested_filename.endswith(".xlsx")
