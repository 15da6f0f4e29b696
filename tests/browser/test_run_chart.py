"""The chart of runs on a page by itself: values under the mouse, zoom, legend, slider, axes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rtdetr_nb.ui.live_plot import live_plot
from rtdetr_nb.ui.run_chart import RunChart
from tests.ui.fake_run import FakeRun

# Plays the model that anywidget gives to `render`.
PAGE = """
async ([source, style]) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const falling = (first, fall) => [...Array(60)].map((_, i) => first * Math.exp(-i / fall));
  const run = (label, color, first) => ({
    label, color, steps: [...Array(60)].map((_, i) => i + 1),
    minutes: [...Array(60)].map((_, i) => (i + 1) / 60),
    values: { loss: falling(first, 40), loss_bbox: falling(2, 30),
              "learning rate, group 0": Array(60).fill(0.0001) },
    ap: [0.1, 0.25], ap_steps: [30, 60], ap_minutes: [0.5, 1],
  });
  const runs = [run("tuned", "#0072b2", 40), run("random", "#e69f00", 60)];
  const listeners = [];
  const model = {
    get: () => runs,
    on: (event, act) => listeners.push(act),
    off: () => {},
    send: (message) => (window.asked ??= []).push(message.do),
  };
  window.tell = (message) => listeners.forEach((act) => act(message));
  widget.render({ model, el: document.body });
}
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 520})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.evaluate(PAGE, [RunChart._esm, RunChart._css])
    yield page
    assert errors == []


def value(page: Page, label: str) -> str:
    row = page.locator(".u-series").filter(has=page.get_by_text(label, exact=True))
    return row.locator(".u-value").inner_text()


def hover(page: Page) -> None:
    over = page.locator(".u-over").bounding_box()
    assert over is not None
    page.mouse.move(over["x"] + over["width"] / 2, over["y"] + 30)


def test_the_mouse_shows_the_values_of_all_runs(page: Page, pictures: Path) -> None:
    hover(page)
    assert 27 <= int(value(page, "step")) <= 33
    assert 15 < float(value(page, "tuned")) < 25 < float(value(page, "random")) < 35
    page.screenshot(path=pictures / "run_chart.png")


def test_the_legend_hides_a_run_with_all_that_belongs_to_it(page: Page) -> None:
    page.get_by_text("random", exact=True).click()
    for label in ("random", "random (each step)", "random AP"):
        row = page.locator(".u-series").filter(has=page.get_by_text(label, exact=True))
        expect(row).to_have_class("u-series u-off")
    expect(page.locator(".u-series.u-off")).to_have_count(3)


def test_another_quantity_axis_and_smoothing(page: Page) -> None:
    page.get_by_label("What is shown").select_option("learning rate, group 0")
    page.get_by_label("Along the axis").select_option("minutes")
    hover(page)
    assert value(page, "tuned") == "1.00e-4" and 0.4 < float(value(page, "minute")) < 0.6
    page.get_by_label("What is shown").select_option("loss")
    page.get_by_label("log").check()
    page.get_by_label("smooth").fill("101")
    hover(page)
    assert float(value(page, "tuned")) < float(value(page, "random"))
    expect(page.locator("canvas")).to_have_count(1)


def test_what_comes_later_is_added(page: Page) -> None:
    later = {
        "do": "append", "run": 0, "from": 60, "steps": [61, 62], "minutes": [1.02, 1.03],
        "values": {"loss": [7.0, 7.0], "loss_bbox": [1.0, 1.0],
                   "learning rate, group 0": [1e-4, 1e-4]},
        "ap": [0.3], "ap_steps": [62], "ap_minutes": [1.03],
    }  # fmt: skip
    page.evaluate("message => window.tell(message)", later)
    page.get_by_label("smooth").fill("1")
    over = page.locator(".u-over").bounding_box()
    assert over is not None
    page.mouse.move(over["x"] + over["width"] - 2, over["y"] + 30)
    assert value(page, "step") == "62" and value(page, "tuned") == "7"
    assert value(page, "tuned AP") == "0.3"


def test_a_page_asks_for_what_was_sent_before_it_listened(page: Page) -> None:
    assert page.evaluate("window.asked") == ["whole"]
    gap = {"do": "append", "run": 0, "from": 70, "steps": [71], "minutes": [2], "values": {}}
    page.evaluate("message => window.tell(message)", gap)
    assert page.evaluate("window.asked") == ["whole", "whole"], "a gap is not drawn over"
    other = {"label": "random", "color": "#e69f00", "steps": [1, 2], "minutes": [0.1, 0.2],
             "values": {"loss": [5, 5]}, "ap": [], "ap_steps": [], "ap_minutes": []}  # fmt: skip
    whole = {"do": "all", "runs": [{**other, "label": "tuned", "values": {"loss": [3, 3]}}, other]}
    page.evaluate("message => window.tell(message)", whole)
    hover(page)
    assert (value(page, "tuned"), value(page, "random")) == ("3", "5")


def test_the_chart_of_runs_that_are_over_needs_no_kernel(browser: Browser, tmp_path: Path) -> None:
    """As the HTML of an output: with scripts the chart, without them the picture."""
    fake = FakeRun(tmp_path / "</script><b>run", total_steps=20)
    for step in range(1, 21):
        fake.step(step)
    fake.finish()
    page_html = live_plot(fake.run)._static_bundle()["text/html"]
    for with_scripts in (True, False):
        context = browser.new_context(java_script_enabled=with_scripts)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error, kept=errors: kept.append(str(error)))
        page.set_content(page_html)
        picture = page.locator("img")
        if with_scripts:
            expect(page.locator(".u-over")).to_be_visible()
            expect(picture).to_be_hidden()
            hover(page)
            assert value(page, fake.folder.name) != "--"
        else:
            expect(picture).to_be_visible()
        assert errors == [] and page.locator("b", has_text="run").count() <= 1  # its status line
        context.close()
