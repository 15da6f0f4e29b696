"""The report opens from a file, without a network, in both themes; and its picture."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from rtdetr_nb.demo.report import ReportTable, Section, write_page
from rtdetr_nb.ui.figures.base import loss_figure, to_data_uri

pytestmark = pytest.mark.browser

# Sections of the demo's report that the README shows.
SHOWN = ("Probe: does the backbone carry information?", "Two short fine-tunes")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The report of a demo if RTDETR_NB_RUNS names it, else one with the same sections."""
    demo = os.environ.get("RTDETR_NB_RUNS")
    if demo:
        return Path(demo, "report.html").resolve()
    picture = to_data_uri(loss_figure({}))
    table = ReportTable(["run", "<b>loss</b>"], [["tuned", 1.5]])
    sections = [Section(title, texts=["text"], table=table, figure=picture) for title in SHOWN]
    path = tmp_path / "report.html"
    write_page(path, "A <title>", "subtitle", "conclusion", sections)
    return path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_opens_offline(
    browser: Browser, report: Path, pictures: Path, theme: str
) -> None:
    page = browser.new_page(
        viewport={"width": 1000, "height": 1200},
        color_scheme=theme,  # pyright: ignore[reportArgumentType]
    )
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    asked = [url for url in requests if not url.startswith("data:")]
    assert asked == [report.as_uri()]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (theme == "light")
    loaded = page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth > 0)")
    assert loaded and all(loaded)
    first = page.get_by_role("heading", name=SHOWN[0]).bounding_box()
    end = page.get_by_role("img", name=SHOWN[1]).bounding_box()
    assert first and end
    clip = {
        "x": 0,
        "y": first["y"] - 12,
        "width": 1000,
        "height": end["y"] + end["height"] - first["y"] + 24,
    }
    page.screenshot(path=pictures / f"report_{theme}.png", clip=clip, full_page=True)  # pyright: ignore[reportArgumentType]
    page.close()
