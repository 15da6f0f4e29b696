"""The script of the prediction viewer on a page by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import rtdetr_nb.ui

FOLDER = Path(rtdetr_nb.ui.__file__).parent
SOURCE = "".join((FOLDER / name).read_text() for name in ("element.js", "predictions/viewer.js"))
# Plays the model that anywidget gives to `render`.
PAGE = """
async (source) => {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const kind = (label, scores) => ({
    label, color: "#0072b2", scores, boxes: [[10, 10, 60, 50], [100, 20, 150, 80]],
    names: ["star", "<b>disc</b>"],
  });
  const truth = { ...kind("ground truth", null), boxes: [[12, 10, 60, 50]], names: ["star"] };
  const picture = (name) => ({
    name, source: "", size: [200, 100],
    kinds: [truth, kind("tuned", [0.9, 0.4]), kind("random", [0.3, 0.1])],
  });
  const values = { pictures: [picture("a.jpg"), picture("b.jpg")], least_score: null };
  let listener = () => {};
  window.values = values;
  const model = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; listener(); },
    save_changes: () => {},
    on: (_, act) => { listener = act; },
    off: () => { listener = () => {}; },
  };
  widget.render({ model, el: document.body });
}
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.evaluate(PAGE, SOURCE)
    yield page
    page.close()


def drawn(page: Page, label: str) -> int:
    """Names drawn on the first picture of a column."""
    return page.get_by_role("img", name=f"a.jpg, {label}").first.locator("text").count()


def test_a_row_a_picture_and_a_column_for_truth_and_each_run(page: Page) -> None:
    heads = page.locator(".rtnb-predictions-head").all_inner_texts()
    assert heads == ["ground truth", "tuned", "random"]
    expect(page.locator(".rtnb-predictions-grid button")).to_have_count(6)
    assert [drawn(page, label) for label in heads] == [1, 1, 1]
    expect(page.locator("b")).to_have_count(0)  # a class name is no markup


def test_the_slider_draws_what_is_above_it_and_the_box_goes_back(page: Page) -> None:
    page.get_by_role("slider", name="Least score").fill("0.2")
    assert page.evaluate("window.values.least_score") == 0.2
    assert [drawn(page, label) for label in ("ground truth", "tuned", "random")] == [1, 2, 1]
    page.get_by_role("slider", name="Least score").fill("0.5")
    assert [drawn(page, label) for label in ("ground truth", "tuned", "random")] == [1, 1, 0]
    page.get_by_role("checkbox", name="As many as there are objects").check()
    assert page.evaluate("window.values.least_score") is None
    assert [drawn(page, label) for label in ("ground truth", "tuned", "random")] == [1, 1, 1]


def test_a_click_or_a_key_enlarges_a_picture(page: Page) -> None:
    large = page.get_by_role("dialog", name="Enlarged picture")
    expect(large).to_be_hidden()
    page.get_by_title("Enlarge b.jpg, tuned").click()
    expect(large).to_be_visible()
    expect(large).to_contain_text("b.jpg: tuned")
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    page.get_by_title("Enlarge a.jpg, random").focus()
    page.keyboard.press("Enter")
    expect(large).to_contain_text("a.jpg: random")
