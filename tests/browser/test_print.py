"""What a page of the dashboard looks like on paper, in Chromium."""

from tests.browser.dashboard_support import DESKTOP, Dashboard, browser, dashboard
from tests.browser.test_dashboard_access import ready, sweep
from tests.browser.test_dashboard_signin import pytestmark
from tests.browser.webdriver import Browser

__all__ = ["browser", "dashboard", "pytestmark"]

SHEET = (718, 1000)  # what lies between the margins of A4


def test_paper_is_white_and_nothing_is_cut(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.run("localStorage.setItem('theme', 'dark')")
    browser.go(dashboard.page + "/results")
    ready(browser, "/results")
    browser.wait("document.querySelector('.plot-metric circle.point') !== null")
    fill = "return getComputedStyle(document.querySelector('.plot-metric circle.point')).fill"
    dark = browser.run(fill)
    # All of this happens before a browser lays out what it prints, and without a frame between.
    widest = browser.run("dispatchEvent(new Event('beforeprint')); return Math.max(...[...document"
                         ".querySelectorAll('main svg')].map((one) => one.getBoundingClientRect().width))")
    assert 500 < widest <= 700
    assert browser.run(fill) != dark
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    browser.size(*SHEET)
    assert browser.run("return getComputedStyle(document.querySelector('h1')).color") == "rgb(26, 29, 35)"
    assert browser.run("return [...document.querySelectorAll('.bar, .plot-tools, main .seg, main .primary')]"
                       ".filter((one) => one.checkVisibility()).length") == 0
    assert browser.run("return [...document.querySelectorAll('main .scroll')].filter((one) =>"
                       " one.scrollHeight > one.clientHeight + 1).length") == 0
    browser.devtools("Emulation.setEmulatedMedia", media="")
    browser.size(*DESKTOP)
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.wait("%s === arguments[0]" % fill.replace("return ", ""), dark)
