"""The script of the layer tree on a page by itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import rtdetr_nb.ui

FOLDER = Path(rtdetr_nb.ui.__file__).parent
SOURCE = "".join(
    (FOLDER / name).read_text() for name in ("element.js", "clipboard.js", "picking/picker.js")
)
# Plays the model that anywidget gives to `render`: a value that stays the same is no change.
PAGE = """
async (source) => {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const leaf = (name, loadable = true) => ({
    name, path: name.split(/[.](?=[^.]*$)/), status: loadable ? "matched" : "mismatched",
    model_shape: "3", file_shape: loadable ? "3" : "4", file_key: name, elements: 3,
    in_backbone: 3, loadable, note: "",
  });
  const values = {
    leaves: [leaf("stem.weight"), leaf("stem.bn.bias"), leaf("stem.bn.mean"), leaf("head.w", false),
             leaf("head.b")],
    colors: { matched: "green", mismatched: "red" }, picked: [0, 1, 2, 4], official: "",
    judged: { word: "ok", color: "green", text: "5 of 5.", findings: [["note", "grey", "n."]] },
    warnings: [], code: 'diff.select(include=["*"])', path: "tuning.pth", message: "", caution: "",
    failed: false, can_undo: false, can_look: false, looked: "", folded: "",
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
  window.answer = (to) => tell("msg:custom", { do: "answer", to });
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
    page.evaluate("window.answer('write')")


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
    page.evaluate("window.answer('write')")
    expect(button).to_be_enabled()
    expect(message).to_be_empty()


def test_ticks_leave_at_once_and_no_older_ones_come_back(page: Page) -> None:
    counts = page.get_by_role("status", name="Picked")
    stem = page.get_by_role("treeitem", name="stem", exact=True)
    stem.click()
    page.get_by_role("treeitem", name="head", exact=True).click()
    sent = page.evaluate("window.sent")
    assert sent == [{"do": "pick", "picked": [1, 2, 4]}, {"do": "pick", "picked": [1, 2]}]
    page.evaluate("window.change('picked', [1, 2, 4])")
    page.evaluate("window.answer('pick')")
    expect(counts).to_contain_text("2 of 5")
    expect(counts).to_contain_text("the kernel takes them over")
    expect(counts).to_have_attribute("aria-busy", "true")
    page.evaluate("window.change('picked', [1, 2])")
    page.evaluate("window.answer('pick')")
    expect(counts).to_contain_text("2 of 5")
    expect(counts).not_to_contain_text("kernel")
    expect(counts).to_have_attribute("aria-busy", "false")
    page.evaluate("window.change('picked', [0])")  # set in a cell
    expect(counts).to_contain_text("1 of 5")


def test_what_the_kernel_refuses_is_not_ticked(page: Page) -> None:
    counts = page.get_by_role("status", name="Picked")
    page.get_by_role("treeitem", name="stem", exact=True).click()
    expect(counts).to_contain_text("3 of 5")
    page.evaluate("window.answer('pick')")
    expect(counts).to_contain_text("4 of 5")


def test_a_view_that_is_gone_listens_no_more(page: Page) -> None:
    assert page.evaluate("window.listeners.length") > 0
    page.evaluate("window.cleanUp()")
    assert page.evaluate("window.listeners.length") == 0


def test_the_verdict_stands_first_and_what_failed_needs_a_box(page: Page) -> None:
    verdict = page.get_by_role("status", name="Verdict")
    assert page.evaluate("document.querySelector('.rtnb-picker').firstChild.className") == (
        "rtnb-verdict"
    )
    expect(verdict).to_contain_text("ok 5 of 5.")
    box = page.get_by_role("checkbox", name="Write it all the same")
    expect(box).to_be_hidden()
    page.evaluate(
        "window.change('judged', { word: 'failed', color: 'red', text: '', "
        "findings: [['failure', 'red', 'It is another size.']] })"
    )
    expect(verdict).to_contain_text("It is another size.")
    expect(box).to_be_visible()
    box.check()
    page.get_by_role("button", name="Write tuning file").click()
    assert page.evaluate("window.sent.at(-1).anyway") is True


def test_a_branch_with_members_that_do_not_fit_has_half_a_tick(page: Page) -> None:
    branch = page.get_by_role("treeitem", name="head", exact=True)
    expect(branch).to_have_attribute("aria-checked", "mixed")
    expect(branch).to_contain_text("1 of 2 picked, 1 do not fit")
    whole = page.get_by_role("treeitem", name="stem.bn", exact=True)
    expect(whole).to_have_attribute("aria-checked", "true")


def test_the_filter_takes_patterns_of_the_shell_and_regular_expressions(page: Page) -> None:
    filter_box = page.get_by_role("textbox", name="Filter keys (pattern or regular expression)")
    leaves = page.locator(".rtnb-badge:has-text('matched')")
    for text, count in (("*.bn.*", 2), ("bn.(bias|mean)$", 2), ("backbone.stem.w*", 1), ("", 0)):
        filter_box.fill(text)
        expect(leaves).to_have_count(count)
        expect(page.get_by_role("alert")).to_be_empty()
    filter_box.fill("(")
    expect(page.get_by_role("alert")).to_contain_text("no pattern yet")


def test_a_name_opens_its_branch_and_a_box_ticks_it(page: Page) -> None:
    branch = page.get_by_role("treeitem", name="stem.bn", exact=True)
    branch.locator(".rtnb-name").click()
    expect(branch).to_have_attribute("aria-expanded", "true")
    expect(branch).to_have_attribute("aria-checked", "true")
    branch.locator(".rtnb-box").dispatch_event("click")  # its size is in the style sheet
    expect(branch).to_have_attribute("aria-checked", "false")


def test_undo_and_the_pictures_are_asked_of_the_kernel(page: Page) -> None:
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    page.evaluate("window.change('can_undo', true)")
    undo.click()
    mend = page.get_by_role("button", name="Check and mend the input format")
    expect(mend).to_be_hidden()
    page.evaluate("window.change('can_look', true)")
    page.evaluate("window.change('folded', 'pictures less a mean')")
    mend.click()
    expect(mend).to_be_disabled()
    page.evaluate("window.answer('write')")
    expect(page.get_by_role("status", name="Input format")).to_contain_text("less a mean")
    page.get_by_role("button", name="Leave the stem as it is").click()
    assert page.evaluate("window.sent.map((content) => content.do)") == ["undo", "mend", "leave"]


def test_the_code_is_copied(page: Page) -> None:
    page.get_by_role("button", name="Copy the same in code").click()
    expect(page.get_by_text(re.compile("Copied|Selected"))).to_be_visible()
