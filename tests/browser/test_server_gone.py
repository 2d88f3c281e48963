"""The dashboard in Chromium while its server is away, and when it is back."""

import re
import socket
from base64 import b64decode
from pathlib import Path

import pytest

from tests.browser.dashboard_support import DESKTOP, PHONE, Dashboard, browser, no_sideways_scrolling, sign_in
from tests.browser.webdriver import Browser, needs_browser

__all__ = ["browser"]
pytestmark = [pytest.mark.slow, needs_browser]

PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
                  "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
STRIP = "[...document.querySelectorAll('#unreachable')].find((one) => one.getClientRects().length)"
BROKEN = "return [...document.images].filter((one) => one.complete && !one.naturalWidth).length"


def test_pages_go_on_with_what_is_there(browser: Browser, tmp_path: Path) -> None:
    browser.devtools("Network.clearBrowserCookies")
    browser.size(*DESKTOP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Dashboard(tmp_path, "--dashboard-port", port) as server:
        first = server.create_jobs([{"parameters": {"lr": 0.1}}, {"parameters": {"lr": 0.2}}])
        server.claim()
        server.upload(first, "plot.png", PIXEL)
        server.upload(first, "result.json", b'{"score": 0.5}')
        server.finish(first)
        sign_in(browser, server)
        for name, text in (("Results", "score"), ("Workers", "node1-0-0"), ("Jobs", "0.1")):
            browser.click(".nav a", name)
            browser.wait_text(text)
        browser.click("tbody a", "#%d" % first)
        browser.wait_path("/jobs/%d" % first)
        browser.wait_text("plot.png")
        assert browser.run("return " + STRIP) is None
        assert server.stop() == 0
    said = browser.wait(STRIP + "?.textContent")
    assert re.fullmatch(r"Server unreachable since \d\d:\d\d, trying again", said)
    browser.run("[...document.querySelectorAll('.files li')].find("
                "(one) => one.textContent.includes('plot.png')).querySelector('button').click()")
    browser.wait_text("The picture could not be loaded.")
    for name, text in (("Results", "score"), ("Workers", "node1-0-0"), ("Jobs", "0.1")):
        browser.click(".nav a", name)
        browser.wait_text(text)
        assert browser.run("const at = %s.getBoundingClientRect(); return at.left === 0"
                           " && at.right === document.documentElement.clientWidth" % STRIP)
        assert "could not be shown" not in browser.run("return document.body.innerText")
        assert browser.run(BROKEN) == 0
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.run("scrollTo(0, 1e6)")
    assert browser.run("return %s.getBoundingClientRect().top >="
                       " document.querySelector('.bar').getBoundingClientRect().bottom" % STRIP)
    browser.size(*DESKTOP)
    with Dashboard(tmp_path, "--dashboard-port", port) as server:
        browser.wait(STRIP + " === undefined")
        server.create_jobs([{"parameters": {"lr": 0.3}}])
        browser.wait_text("0.3")
        browser.go("about:blank")
        assert server.stop() == 0


def test_a_page_whose_files_do_not_come_says_so_in_plain_words(browser: Browser, tmp_path: Path) -> None:
    browser.devtools("Network.clearBrowserCookies")
    browser.size(*DESKTOP)
    with Dashboard(tmp_path) as server:
        sign_in(browser, server)
        browser.devtools("Network.enable")
        browser.devtools("Network.setBlockedURLs", urls=["*/settings/settings.js*"])
        try:
            browser.go(server.page + "/settings")
            browser.wait_text("When the server is back, it is shown by itself.")
            assert "module" not in browser.run("return document.querySelector('main').innerText")
        finally:
            browser.devtools("Network.setBlockedURLs", urls=[])
        browser.click("main button", "Try again")
        browser.wait_text("Pause the experiment")
        browser.go("about:blank")
        assert server.stop() == 0
