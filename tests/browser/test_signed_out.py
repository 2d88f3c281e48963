"""Somebody whose sign-in ends while a page of the dashboard is open, in Chromium."""

from tests.browser.dashboard_support import PIN, Dashboard, browser, dashboard
from tests.browser.test_dashboard_signin import pytestmark
from tests.browser.webdriver import ENTER, ESCAPE, Browser

__all__ = ["browser", "dashboard", "pytestmark"]

OTHER_TAB = ("fetch('/web/signout', {method: 'POST', body: '{}',"
             " headers: {'Content-Type': 'application/json'}})")
AGAIN = ("[...document.querySelectorAll('dialog')]"
         ".filter((one) => one.textContent.includes('You are signed out'))")
NAME, VALUES = (".create-panel [aria-label='%s of parameter 1']" % one for one in ("Name", "Values"))


def test_what_is_typed_stays_and_what_was_asked_is_answered(browser: Browser, dashboard: Dashboard) -> None:
    browser.click("button", "New jobs")
    browser.wait("document.querySelector('dialog.create').open")
    browser.type(NAME, "lr")
    browser.type(VALUES, "0.1, 0.2")
    browser.run("return " + OTHER_TAB)
    browser.wait(AGAIN + ".length === 1")
    browser.wait("document.activeElement.type === 'password'")
    browser.keys("111111" + ENTER)
    browser.wait_text("The PIN is wrong.")
    browser.keys(PIN + ENTER)
    browser.wait(AGAIN + ".length === 0")
    browser.click("dialog.create button", "Create 2 jobs")
    browser.wait("document.querySelector('dialog.create') === null")  # whose preview has the values as well
    browser.wait_text("0.2")
    assert dashboard.counts() == {"PENDING": 2}


def test_who_does_not_sign_in_again_is_not_asked_without_end(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/settings")
    browser.type("#set-lease", "77")
    browser.run("return " + OTHER_TAB)
    browser.wait(AGAIN + ".length === 1")
    browser.keys(ESCAPE)
    browser.wait("document.getElementById('link').textContent === 'signed out'")
    assert browser.run("return %s.length" % AGAIN) == 0
    assert browser.run("return document.getElementById('set-lease').value") == "77"


def test_who_has_typed_nothing_comes_back_to_the_view(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/jobs?filter=lr%3C1&sort=-id")
    browser.wait("document.querySelector('.filter').value === 'lr<1'")
    browser.run("return " + OTHER_TAB)
    browser.wait("location.pathname === '/signin'")
    browser.type("#pin", PIN)
    browser.click("form button")
    browser.wait("location.pathname === '/jobs'")
    assert browser.path == "/jobs?filter=lr%3C1&sort=-id"
