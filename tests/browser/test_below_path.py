"""The dashboard below a path, in Chromium: a proxy takes the path away, or leaves it."""

import socket
from pathlib import Path
from typing import Iterator

import pytest

from tests.browser.dashboard_support import DESKTOP, PIN, Dashboard, browser
from tests.browser.pathproxy import PathProxy
from tests.browser.webdriver import Browser, needs_browser

__all__ = ["browser"]
pytestmark = [pytest.mark.slow, needs_browser]

STRIPPED, KEPT = "/user/ann/proxy/5050/", "/node/n17.example/5050/"


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Dashboard]:
    """A new server that knows where the proxy that keeps the path shows it."""
    browser.devtools("Network.clearBrowserCookies")
    browser.size(*DESKTOP)
    browser.console()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Dashboard(tmp_path, "--dashboard-port", port,
                   "--public-dashboard-url", "http://portal.example" + KEPT) as started:
        assert started.page == "http://portal.example" + KEPT
        started.page = "http://127.0.0.1:%d" % port
        yield started
        browser.go("about:blank")


@pytest.mark.parametrize("path, strips", [(STRIPPED, True), (KEPT, False)], ids=["stripped", "kept"])
def test_a_dashboard_below_a_path(browser: Browser, server: Dashboard, path: str, strips: bool) -> None:
    first = server.create_jobs([{"parameters": {"lr": 0.1}}, {"parameters": {"lr": 0.2}}])
    server.claim()
    server.upload(first, "result.json", b'{"score": 0.5}')
    with PathProxy(server.page, path, strips) as proxy:
        at = proxy.path[:-1]
        # The sign-in leads to where it was asked to.
        browser.go(proxy.url + "jobs/%d" % first)
        browser.wait_path(at + "/signin?next=%%2Fjobs%%2F%d" % first)
        browser.type("#pin", PIN)
        browser.click("form button")
        browser.wait_path(at + "/jobs/%d" % first)
        (cookie,) = browser.cookies()
        assert cookie["path"] == proxy.path and cookie["httpOnly"]
        # A file of the job, and its picture of what was uploaded.
        browser.click("button", "Preview")
        browser.wait_text('"score": 0.5')
        link = browser.run("return [...document.querySelectorAll('a[download]')].find("
                           "(one) => one.href.includes('/web/job/file')).href")
        assert browser.run("const asked = new XMLHttpRequest(); asked.open('GET', arguments[0], false);"
                           " asked.send(); return asked.responseText", link) == '{"score": 0.5}'
        # The shell goes from page to page, and back; each address is one that can be loaded.
        browser.click(".nav a", "Workers")
        browser.wait_path(at + "/workers")
        browser.wait_text("node1-0-0")
        browser.click(".nav a", "Results")
        browser.wait_path(at + "/results")
        assert browser.run("return document.querySelector('.nav [aria-current]').textContent") == "Results"
        browser.run("history.back()")
        browser.wait_path(at + "/workers")
        browser.click(".brand")
        browser.wait_path(at + "/jobs")
        # The live stream tells of what happens, by itself.
        server.finish(first)
        browser.wait("[...document.querySelectorAll('tbody tr')].some("
                     "(row) => row.textContent.includes('#%d') && row.textContent.includes('done'))" % first)
        assert browser.run("return document.getElementById('link').textContent") == ""
        # New jobs, from the form.
        browser.click("button", "New jobs")
        browser.click("[role=tab]", "JSON")
        browser.type(".create-text", '[{"lr": 0.7}]')
        browser.click("dialog button", "Create 1 job")
        browser.wait_text("0.7")
        browser.run("location.reload()")
        browser.wait_text("0.7")
        browser.click("#signout")
        browser.wait_path(at + "/signin")
        assert browser.cookies() == []
        browser.go(proxy.url)
        browser.wait_path(at + "/signin")
        browser.go("about:blank")
        assert proxy.outside == set()
    said = [text for text in browser.console() if "favicon" not in text]
    assert said == [], said


@pytest.mark.parametrize("path, strips", [("/", True), (STRIPPED, True), (KEPT, False)],
                         ids=["plain", "stripped", "kept"])
@pytest.mark.parametrize("address, says", [
    ("nowhere", "Nothing is here"), ("jobs/7/what", "There is nothing at '/jobs/7/what'."),
    ("web/signin", "'GET' is not possible at '/web/signin'; allowed: POST."),
    ("web/export.csv", "Nobody is signed in"), ("jobs?filter=%", "This did not work")])
def test_an_address_that_is_refused_shows_a_page_that_leads_on(
        browser: Browser, server: Dashboard, path: str, strips: bool, address: str, says: str) -> None:
    with PathProxy(server.page, path, strips) as proxy:
        browser.go(proxy.url + "signin")
        browser.run("localStorage.setItem('theme', 'dark')")
        browser.go(proxy.url + address)
        browser.wait_text(says)
        assert browser.run("return document.documentElement.dataset.theme") == "dark"
        assert browser.run("return document.querySelector('img').naturalWidth") > 0
        browser.click("a.button", "Go to the front page")
        browser.wait_path(proxy.path + "signin")
        assert proxy.outside == set()
        browser.run("localStorage.clear()")
        browser.go("about:blank")


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "/../../elsewhere", "https://evil.example/"])
def test_a_sign_in_below_a_path_leads_nowhere_else(browser: Browser, server: Dashboard,
                                                   elsewhere: str) -> None:
    with PathProxy(server.page, STRIPPED, True) as proxy:
        browser.go(proxy.url + "signin")
        browser.run("location.assign('signin?next=' + encodeURIComponent(arguments[0]))", elsewhere)
        browser.wait("new URLSearchParams(location.search).get('next') === arguments[0]", elsewhere)
        browser.type("#pin", PIN)
        browser.click("form button")
        browser.wait_path(STRIPPED + "jobs")
        browser.go("about:blank")
