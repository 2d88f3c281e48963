"""The sign-in to the dashboard in Chromium."""

import os
import sys
from pathlib import Path
from typing import Iterator

import pytest

from jd.net.peer.socketowner import described
from tests.browser.dashboard_support import PHONE, PIN, Dashboard, browser
from tests.browser.webdriver import ENTER, Browser, needs_browser

__all__ = ["browser"]
pytestmark = [pytest.mark.slow, needs_browser]

WRONG = "314159"


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Dashboard]:
    """A new server; nobody is signed in."""
    browser.devtools("Network.clearBrowserCookies")
    browser.size(1280, 720)
    with Dashboard(tmp_path) as started:
        yield started
        # Its live connection would go on asking a server that is gone.
        browser.go("about:blank")


def location(browser: Browser) -> str:
    return str(browser.run("return location.href"))


def sign_in(browser: Browser, pin: str = PIN) -> None:
    browser.wait("document.activeElement.id === 'pin'")
    browser.keys(pin + ENTER)


def test_who_was_sent_to_the_sign_in_comes_back(browser: Browser, server: Dashboard) -> None:
    browser.go(server.page + "/healthz")
    browser.run("location.assign('/jobs?filter=lr%3D0.1')")
    browser.wait("location.pathname === '/signin'")
    assert browser.run("return document.querySelector('h1').textContent") == "Sign in to exp"
    assert browser.run("return document.getElementById('pin').inputMode") == "numeric"
    sign_in(browser, WRONG)
    browser.wait_text("The PIN is wrong.")
    sign_in(browser, "12 34")
    browser.wait_text("A PIN has 6 digits.")
    sign_in(browser, "271 828")
    browser.wait("location.pathname === '/jobs'")
    assert browser.run("return new URLSearchParams(location.search).get('filter')") == "lr=0.1"
    (cookie,) = browser.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"


@pytest.mark.parametrize("elsewhere", [
    "https://evil.example/", "//evil.example/", "/\\evil.example", "/.//evil.example/",
    "javascript:document.title='owned'", "http://[", "/signin?next=/signin"])
def test_a_link_cannot_lead_to_another_site(browser: Browser, server: Dashboard, elsewhere: str) -> None:
    browser.go(server.page + "/signin")
    browser.run("location.assign('/signin?next=' + encodeURIComponent(arguments[0]))", elsewhere)
    browser.wait("new URLSearchParams(location.search).get('next') === arguments[0]", elsewhere)
    sign_in(browser)
    browser.wait("location.pathname !== '/signin'")
    assert location(browser).startswith(server.page + "/")


def test_a_link_from_another_site_opens_for_who_is_signed_in(browser: Browser, server: Dashboard) -> None:
    browser.go(server.page + "/signin")
    sign_in(browser)
    browser.wait("location.pathname === '/jobs'")
    wanted = server.page + "/workers?tab=disabled"
    # The cookie does not come with it, so the server answers with the sign-in.
    browser.go("data:text/html,<a href='%s'>to the dashboard</a>" % wanted)
    browser.click("a", "to the dashboard")
    browser.wait("location.pathname === '/workers'")
    assert location(browser) == wanted


def test_after_too_many_attempts_it_says_how_long_to_wait(browser: Browser, server: Dashboard) -> None:
    server.url = server.page
    for _ in range(10):
        assert server.call("/web/signin", {"pin": WRONG})[0] == 403
    browser.go(server.page + "/signin")
    sign_in(browser)
    browser.wait_text("Too many wrong PINs. Try again in 10 min.")
    assert browser.run("return document.querySelector('#form button').disabled")
    browser.keys(ENTER)
    assert browser.path == "/signin"


def test_who_signs_in_learns_of_wrong_pins(browser: Browser, server: Dashboard) -> None:
    server.url = server.page
    for _ in range(2):
        assert server.call("/web/signin", {"pin": WRONG})[0] == 403
    browser.go(server.page + "/signin")
    sign_in(browser)
    browser.wait("location.pathname === '/jobs'")
    browser.wait_text("Before you signed in: 2 wrong PINs")
    # Where the system tells, whose program it was.
    browser.wait_text("from " + (described(os.geteuid()) if sys.platform.startswith("linux")
                                 else "127.0.0.1"))
    browser.click("button", "Dismiss")
    browser.go(server.page + "/settings")
    browser.wait_text("No wrong PIN since the last sign-in.")
    browser.wait_text("Before that: 2 wrong PINs")
    assert "Before you signed in" not in browser.run("return document.body.innerText")


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, server: Dashboard) -> None:
    browser.size(*PHONE)
    browser.go(server.page + "/signin")
    browser.wait("document.activeElement.id === 'pin'")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
