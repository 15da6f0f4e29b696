"""The script of the Stop button on a page by itself, with the browser's clock turned by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import rtdetr_nb.ui

SOURCE = (Path(rtdetr_nb.ui.__file__).parent / "panel" / "stop_button.js").read_text()
# Plays the model that anywidget gives to `render`.
PAGE = """
async (source) => {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const listeners = [];
  const values = { enabled: true, run_token: "a run", stop_path: "" };
  window.sent = [];
  window.listeners = listeners;
  const model = {
    get: (name) => values[name],
    on: (change, act) => listeners.push([change, act]),
    off: (change, act) => {
      const place = listeners.findIndex(([c, a]) => c === change && a === act);
      if (place >= 0) listeners.splice(place, 1);
    },
    send: (content) => window.sent.push(content),
  };
  window.set = (name, value) => {
    values[name] = value;
    for (const [change, act] of [...listeners]) if (change === `change:${name}`) act();
  };
  window.cleanUp = widget.render({ model, el: document.body });
}
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.clock.install()
    page.evaluate(PAGE, SOURCE)
    yield page
    page.close()


def test_a_run_that_does_not_stop_can_be_asked_again(page: Page) -> None:
    button = page.get_by_role("button", name="Stop")
    button.click()
    expect(button).to_be_disabled()
    expect(page.get_by_role("status")).to_contain_text("Asking the run to stop")
    page.clock.run_for(9_000)
    expect(button).to_be_disabled()
    page.clock.run_for(2_000)
    expect(button).to_be_enabled()
    expect(page.get_by_role("status")).to_contain_text("you can ask again")
    button.click()
    page.wait_for_function("window.sent.length === 2")
    assert page.evaluate("window.sent") == [{"kind": "stop", "run_token": "a run"}] * 2


def test_a_run_that_has_stopped_cannot_be_asked_again(page: Page) -> None:
    button = page.get_by_role("button", name="Stop")
    button.click()
    page.evaluate("window.set('enabled', false)")
    page.clock.run_for(20_000)
    expect(button).to_be_disabled()
    expect(page.get_by_role("status")).to_be_empty()


def test_a_view_that_is_gone_listens_no_more(page: Page) -> None:
    assert page.evaluate("window.listeners.length") == 3
    page.evaluate("window.cleanUp()")
    assert page.evaluate("window.listeners.length") == 0
