"""What a browser keeps of the files that pages are made of, and asks for no more: in Chromium."""

from typing import Any, List, Optional

import pytest

from tests.browser.dashboard_support import PIN, Dashboard, browser
from tests.browser.pathproxy import PathProxy
from tests.browser.test_below_path import KEPT, STRIPPED, server
from tests.browser.test_dashboard_signin import pytestmark
from tests.browser.test_hub_pages import HubWithLink, hub, sign_up
from tests.browser.webdriver import Browser

__all__ = ["browser", "hub", "pytestmark", "server"]

# The files of the page, each with the bytes that came for it: none of one that is kept, a head where it
# was asked whether it has changed.
FILES = """
return performance.getEntriesByType("resource").filter(({name}) => name.includes("/static/"))
  .map(({name, transferSize}) => [name.split("/static/")[1], transferSize]);
"""


def _came(browser: Browser) -> List[str]:
    """The files that the server was asked for by the page that is shown."""
    files: List[Any] = browser.run(FILES)
    assert len(files) >= 5 and all(name.startswith("v-") for name, _ in files), files
    return [name for name, size in files if size]


@pytest.mark.parametrize("path, strips", [(None, True), (STRIPPED, True), (KEPT, False)],
                         ids=["plain", "stripped", "kept"])
def test_a_file_is_asked_for_once(browser: Browser, server: Dashboard, path: Optional[str],
                                  strips: bool) -> None:
    with PathProxy(server.page, path or "/", strips) as proxy:
        browser.go(proxy.url + "signin")
        browser.type("#pin", PIN)
        browser.click("form button")
        browser.wait_text("No jobs yet")
        browser.click(".nav a", "Settings")
        browser.wait_text("Pause the experiment")
        assert len(_came(browser)) > 40
        for page, text in (("settings", "Pause the experiment"), ("jobs", "No jobs yet")):
            browser.go(proxy.url + page)
            browser.wait_text(text)
            assert _came(browser) == [], page
        assert browser.run("return document.querySelector('.start img').naturalWidth") > 0
        # A page that was open when the server was updated still gets what it asks for, anew each time.
        old = proxy.url + "static/v-0123456789abcdef/common.js"
        at = browser.run("return import(arguments[0]).then(({at}) => at('/jobs'))", old)
        assert at == proxy.path + "jobs"
        assert proxy.outside == set()


def test_the_hubs_files_are_asked_for_once(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    browser.go(hub.url + "/api-keys")
    browser.wait_text("API keys")
    browser.go(hub.url + "/experiments")
    browser.wait_text("No experiments yet")
    assert _came(browser) == []
