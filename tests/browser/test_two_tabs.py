"""One person with two tabs of the dashboard, or with a quick hand, in Chromium."""

from typing import Iterator

import pytest

from tests.browser.dashboard_support import PIN, Dashboard, browser, dashboard
from tests.browser.test_dashboard_signin import pytestmark
from tests.browser.webdriver import ENTER, Browser

__all__ = ["browser", "dashboard", "pytestmark"]

LONG = """
const longer = (times) => times.split(",").some((time) => parseFloat(time) > 0.01);
const moves = (style) => longer(style.transitionDuration)
  || style.animationName !== "none" && longer(style.animationDuration);
return [...document.querySelectorAll("*")].filter((one) => moves(getComputedStyle(one))).length
  + document.getAnimations().length;
"""
# Clicks again and again at once, while what is sent takes a while; what is sent stands in `sent`.
QUICK = """
const real = window.fetch;
window.sent = [];
window.fetch = async (url, options) => {
  if (options && options.method === "POST" && !/preview/.test(url + options.body)) window.sent.push(url);
  await new Promise((go) => setTimeout(go, 100));
  return real(url, options);
};
window.quick = (css) => { for (const _ of [1, 2, 3]) document.querySelector(css).click(); };
"""


@pytest.fixture
def second(browser: Browser, dashboard: Dashboard) -> Iterator[str]:
    """Another tab, which is on the page of the jobs."""
    first = browser.tab
    made = browser.new_tab()
    browser.tab = made
    browser.go(dashboard.page + "/jobs")
    browser.wait("document.querySelector('.filter') !== null")
    browser.tab = first
    yield made
    browser.tab = made
    browser.close_tab()
    browser.tab = first


def test_a_theme_is_that_of_all_tabs(browser: Browser, dashboard: Dashboard, second: str) -> None:
    first = browser.tab
    try:
        browser.click("#theme")
        browser.click(".menu button", "Dark")
        browser.tab = second
        browser.wait("document.documentElement.dataset.theme === 'dark'")
    finally:
        browser.tab = first
        browser.run("localStorage.removeItem('theme')")


NEW_PIN = "483920"
ASKED = ("[...document.querySelectorAll('dialog')]"
         ".filter((one) => one.textContent.includes('You are signed out')).length")


def change_pin(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/settings")
    for place, pin in enumerate((PIN, NEW_PIN, NEW_PIN), 1):
        browser.type(".set-pin div:nth-of-type(%d) input" % place, pin)
    browser.click(".set-pin button")
    browser.wait_path("/signin")


def test_where_something_is_typed_a_pin_that_another_tab_changes_is_asked_for(
        browser: Browser, dashboard: Dashboard, second: str) -> None:
    first = browser.tab
    browser.tab = second
    browser.click("button", "New jobs")
    browser.type(".create-panel [aria-label='Name of parameter 1']", "lr")
    browser.type(".create-panel [aria-label='Values of parameter 1']", "0.1, 0.2")
    browser.tab = first
    change_pin(browser, dashboard)
    browser.tab = second
    browser.wait(ASKED + " === 1")
    browser.wait("document.activeElement.type === 'password'")
    browser.keys(PIN + ENTER)  # the one of before
    browser.wait_text("The PIN is wrong.")
    browser.keys(NEW_PIN + ENTER)
    browser.wait(ASKED + " === 0")
    browser.click("dialog.create button", "Create 2 jobs")
    browser.wait_text("0.2")
    assert dashboard.counts() == {"PENDING": 2}
    browser.tab = first
    browser.go(dashboard.page + "/signin")  # which sees that the other tab has signed in
    browser.wait_path("/jobs")


def test_where_nothing_is_typed_a_pin_that_another_tab_changes_leads_to_the_sign_in(
        browser: Browser, dashboard: Dashboard, second: str) -> None:
    first = browser.tab
    browser.tab = second
    browser.go(dashboard.page + "/jobs?filter=lr%3C1")
    browser.wait("document.querySelector('.filter')?.value === 'lr<1'")
    browser.tab = first
    change_pin(browser, dashboard)
    browser.tab = second
    browser.wait("location.pathname === '/signin'")
    browser.type("#pin", NEW_PIN)
    browser.click("form button")
    browser.wait_path("/jobs?filter=lr%3C1")


def test_what_another_tab_has_done_is_said(browser: Browser, dashboard: Dashboard, second: str) -> None:
    first, said = browser.tab, []
    dashboard.create_jobs([{"x": 1}])
    for tab in (first, second):
        browser.tab = tab
        browser.go(dashboard.page + "/jobs/1")
        browser.click("main button", "Abort")
        browser.wait("document.querySelector('dialog .primary:enabled') !== null")
    for tab in (first, second):
        browser.tab = tab
        browser.click("dialog .primary")
        said.append(browser.wait("document.querySelector('.toast')?.textContent"))
    browser.tab = first
    late = "No job was aborted: 1 job is so already, or its status does not allow it any more."
    assert said == ["1 job aborted", late]


def test_the_other_tab_is_led_to_the_sign_in(browser: Browser, dashboard: Dashboard, second: str) -> None:
    first = browser.tab
    browser.click("#signout")
    browser.wait("location.pathname === '/signin'")
    browser.tab = second
    browser.wait("location.pathname + location.search === '/signin?next=%2Fjobs'")
    browser.tab = first


def test_quick_clicks_do_it_once(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"x": 1}])
    dashboard.finish(dashboard.claim()["job_id"], "ABORTED", "exit 1")
    browser.click("button", "New jobs")
    browser.wait("document.querySelector('dialog.create').open")
    browser.type(".create-panel [aria-label='Name of parameter 1']", "lr")
    browser.type(".create-panel [aria-label='Values of parameter 1']", "0.1, 0.2")
    browser.wait("document.querySelector('dialog.create .primary').textContent === 'Create 2 jobs'")
    browser.run(QUICK + "quick('dialog.create .primary')")
    browser.wait("document.querySelector('dialog.create') === null || !document.querySelector('dialog').open")
    assert browser.run("return window.sent") == ["/web/create"]
    assert sum(dashboard.counts().values()) == 3
    for path, opener, dialog in (("/jobs/1", "Retry", True), ("/settings", "Save", False),
                                 ("/workers?worker=node1-0-0", "Pause\u2026", True)):
        browser.go(dashboard.page + path)
        if dialog:
            browser.click("main button, aside button", opener)
            browser.wait("document.querySelector('dialog .primary:enabled') !== null")
            browser.run(QUICK + "quick('dialog .primary')")
            browser.wait("document.querySelector('dialog') === null")
        else:
            browser.type("#set-lease", "88")
            browser.run(QUICK + "quick('main form button.primary')")
            browser.wait_text("Saved")
        assert len(browser.run("return window.sent")) == 1, path


def test_nothing_moves_for_who_wants_less_motion(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"x": 1}])
    dashboard.claim()
    try:
        for wish in ("no-preference", "reduce"):
            browser.devtools("Emulation.setEmulatedMedia",
                             features=[{"name": "prefers-reduced-motion", "value": wish}])
            for path in ("/jobs", "/jobs/1", "/workers", "/settings"):
                browser.go(dashboard.page + path)
                browser.wait("document.querySelector('main button') !== null")
                found = browser.run(LONG)
                assert found == 0 if wish == "reduce" else path != "/jobs" or found > 0, (wish, path)
    finally:
        browser.devtools("Emulation.setEmulatedMedia", features=[])
