import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .lab import browser_path, open_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; without one the tests are skipped, but fail where CI is set."""
    if browser_path() is None:
        message = "no Chromium on the search path (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with open_browser() as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_page_stays(browser: Browser) -> Iterator[None]:
    """A page that is left open goes on asking for its server, in the time of the next tests."""
    yield
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go; `make pictures` keeps them."""
    folder = Path(os.environ.get("RTDETR_NB_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
