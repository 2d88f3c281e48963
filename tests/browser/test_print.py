"""What a page of the dashboard looks like on paper, in Chromium."""

import base64
import re

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


def test_a_wide_table_fits_a_sheet_that_lies_on_its_side(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"model.encoder.parameter_%d" % at: "value_%d_of_a_parameter" % (at + job % 3)
                            for at in range(10)} for job in range(21)])
    for job_id in range(1, 22):
        dashboard.claim()
        dashboard.upload(job_id, "result.json", b'{"loss": 0.123456, "val/accuracy": 0.5, "time": 1234567}')
        dashboard.finish(job_id)
    for page, wide in (("/jobs", True), ("/results", True), ("/workers", False)):
        browser.go(dashboard.page + page)
        browser.wait("document.querySelector('main .data tbody tr') !== null")
        browser.run("dispatchEvent(new Event('beforeprint'))")
        browser.devtools("Emulation.setEmulatedMedia", media="print")
        browser.size(*(reversed(SHEET) if wide else SHEET))
        over = ("return [...document.querySelectorAll('main .data')].filter((one) =>"
                " one.getBoundingClientRect().right > document.documentElement.clientWidth).length")
        assert browser.run(over) == 0, page
        # A table, with its heads, and no phone's list.
        assert browser.run("return getComputedStyle(document.querySelector('main .data thead')).display"
                           ) == "table-header-group"
        browser.devtools("Emulation.setEmulatedMedia", media="")
        browser.size(*DESKTOP)
        pdf = base64.b64decode(browser.devtools("Page.printToPDF", preferCSSPageSize=True)["data"])
        boxes = [tuple(map(float, found)) for found in re.findall(
            rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", pdf)]
        assert boxes and [across > along for across, along in boxes] == [wide] * len(boxes), page
        browser.run("dispatchEvent(new Event('afterprint'))")
