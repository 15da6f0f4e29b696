"""The script of the layer tree on a page of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import rtdetr_nb.ui

SOURCE = (Path(rtdetr_nb.ui.__file__).parent / "picker.js").read_text()
# Plays the model that anywidget gives to `render`: a value that stays the same is no change.
PAGE = """
async (source) => {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const leaf = {
    name: "stem.weight", path: ["stem", "weight"], status: "matched", model_shape: "3",
    file_shape: "3", file_key: "stem.weight", elements: 3, in_backbone: 3, loadable: true, note: "",
  };
  const values = {
    leaves: [leaf], colors: { matched: "green" }, picked: [0], official: "", warnings: [],
    code: "", path: "tuning.pth", message: "", failed: false,
  };
  const listeners = [];
  window.sent = [];
  window.listeners = listeners;
  const model = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; },
    save_changes: () => {},
    send: (content) => window.sent.push(content),
    on: (events, act) => listeners.push([events, act]),
    off: (events, act) => {
      const place = listeners.findIndex(([e, a]) => e === events && a === act);
      if (place >= 0) listeners.splice(place, 1);
    },
  };
  const tell = (event, content) => {
    for (const [events, act] of [...listeners]) if (events.split(" ").includes(event)) act(content);
  };
  window.change = (name, value) => {
    if (values[name] === value) return;
    values[name] = value;
    tell(`change:${name}`);
  };
  window.answer = () => tell("msg:custom", { do: "answer" });
  window.cleanUp = widget.render({ model, el: document.body });
}
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.evaluate(PAGE, SOURCE)
    yield page
    page.close()


def refuse(page: Page) -> None:
    """What the kernel sends when it refuses, each time in the same words."""
    page.evaluate("window.change('message', 'tuning.pth exists.')")
    page.evaluate("window.change('failed', true)")
    page.evaluate("window.answer()")


def test_the_same_refusal_twice_lets_one_try_again_twice(page: Page) -> None:
    button = page.get_by_role("button", name="Write tuning file")
    message = page.get_by_role("status", name="Result of writing")
    for clicks in (1, 2, 3):
        button.click()
        expect(button).to_be_disabled()
        expect(message).to_have_text("Writing, and reading it again ...")
        refuse(page)
        expect(button).to_be_enabled()
        expect(message).to_have_text("tuning.pth exists.")
        expect(message).to_have_class("rtnb-failed")
        assert page.evaluate("window.sent.length") == clicks


def test_a_change_of_the_pick_while_it_writes_does_not_end_the_waiting(page: Page) -> None:
    button = page.get_by_role("button", name="Write tuning file")
    message = page.get_by_role("status", name="Result of writing")
    button.click()
    refuse(page)
    button.click()
    page.evaluate("window.change('message', '')")
    expect(button).to_be_disabled()
    expect(message).to_have_text("Writing, and reading it again ...")
    page.evaluate("window.answer()")
    expect(button).to_be_enabled()
    expect(message).to_be_empty()


def test_a_view_that_is_gone_listens_no_more(page: Page) -> None:
    assert page.evaluate("window.listeners.length") > 0
    page.evaluate("window.cleanUp()")
    assert page.evaluate("window.listeners.length") == 0
