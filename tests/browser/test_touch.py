"""The dashboard under a finger, in Chromium: 390 pixels wide, with touches instead of a pointer."""

import re
from typing import Iterator, List, Set

import pytest

from tests.browser.dashboard_support import Dashboard, browser, dashboard, no_sideways_scrolling
from tests.browser.test_dashboard_access import ready, sweep
from tests.browser.test_dashboard_signin import pytestmark
from tests.browser.webdriver import Browser

__all__ = ["browser", "dashboard", "pytestmark"]

LEAST = 40  # pixels
PAGES = ["/jobs", "/jobs/1", "/results", "/failures", "/history", "/history?view=workers",
         "/history?view=cost", "/compare?ids=1,2", "/workers", "/settings"]
LOW = """
const all = "button, a.button, select, summary, input:not([type=checkbox], [type=radio], [type=range])";
return [...document.querySelectorAll(all)].filter((one) => one.checkVisibility())
  .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 80)])
  .filter(([{width, height}]) => width && height < arguments[0] - 0.5).map(([, markup]) => markup);
"""
# Where the first mark of a plot is in the window, which is scrolled to it: of circles, or of a path of dots.
PLACE = """
const mark = document.querySelector(arguments[0]), drawn = mark.ownerSVGElement;
drawn.scrollIntoView({block: "center"});
const edge = drawn.getBoundingClientRect(), found = /M([\\d.]+) ([\\d.]+)/.exec(mark.getAttribute("d") || "");
if (found) return [edge.left + Number(found[1]), edge.top + Number(found[2])];
const own = mark.getBoundingClientRect();
return [own.left + own.width / 2, own.top + own.height / 2];
"""


@pytest.fixture
def phone(browser: Browser, dashboard: Dashboard) -> Iterator[Browser]:
    """The browser as on a phone, with a sweep to look at."""
    sweep(dashboard)
    browser.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2,
                     mobile=True)
    browser.devtools("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=1)
    yield browser
    browser.devtools("Emulation.setTouchEmulationEnabled", enabled=False)
    browser.devtools("Emulation.clearDeviceMetricsOverride")


def tap(browser: Browser, at: List[float]) -> None:
    browser.devtools("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": at[0], "y": at[1]}])
    browser.devtools("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


def test_what_is_to_be_pressed_is_high_enough(phone: Browser, dashboard: Dashboard) -> None:
    for path in PAGES:
        phone.go(dashboard.page + path)
        phone.wait("document.querySelector('main h1, main h2') !== null"
                   " && document.querySelector('[aria-busy=true]') === null")
        assert phone.run(LOW, LEAST) == [], path
        assert no_sideways_scrolling(phone), path


@pytest.mark.parametrize("path, mark", [("/results", ".plot-metric circle.point"),
                                        ("/history", ".plot-best path.steps")])
def test_the_first_tap_tells_and_the_second_opens(phone: Browser, dashboard: Dashboard, path: str,
                                                  mark: str) -> None:
    phone.go(dashboard.page + path)
    ready(phone, path)
    phone.wait("document.querySelector(arguments[0]) !== null", mark)
    at = phone.run(PLACE, mark)
    tap(phone, at)
    phone.wait("[...document.querySelectorAll('.tip')].some("
               "(one) => one.checkVisibility() && one.textContent.includes('Job #'))")
    assert phone.path.partition("?")[0] == path
    tap(phone, at)
    phone.wait("location.pathname.startsWith('/jobs/')")


def test_words_name_what_a_finger_can_do(phone: Browser, dashboard: Dashboard) -> None:
    of_a_pointer = re.compile(r"\b(drag|drop|click|hover|double|ctrl)", re.IGNORECASE)

    def said(path: str, selector: str) -> str:
        phone.go(dashboard.page + path)
        phone.wait("document.querySelector(arguments[0])?.innerText", selector)
        phone.wait("document.querySelector('[aria-busy=true]') === null")
        return str(phone.run("return document.body.innerText"))

    told = {path: said(path, "main h1, main h2") for path in PAGES}
    told["results"] = said("/results", ".plot-clicks")
    told["timeline"] = said("/history?view=workers", ".plot-timeline .plot-note")
    phone.go(dashboard.page + "/jobs")
    phone.click("button", "New jobs")
    for tab in ("JSON", "CSV / TSV"):
        phone.click("[role=tab]", tab)
        phone.wait("document.querySelector('dialog .grid-foot .hint').checkVisibility()")
        told[tab] = str(phone.run("return document.querySelector('dialog').innerText"))
    found = {where: of_a_pointer.findall(text) for where, text in told.items()}
    assert {where: words for where, words in found.items() if words} == {}
    assert "Zoom in with + above" in told["timeline"] and "A second tap on a cell" in told["results"]


def test_a_switch_is_hit_within_44_pixels_and_looks_as_ever(phone: Browser, dashboard: Dashboard) -> None:
    phone.go(dashboard.page + "/settings")
    ready(phone, "/settings")
    hit = phone.run("""
        return [...document.querySelectorAll(".set-switch")].map((one) => {
          one.scrollIntoView({block: "center"});
          const {left, top, width, height} = one.getBoundingClientRect();
          const x = left + width / 2, y = top + height / 2;
          const ends = [-21.5, 21.5].flatMap((by) => [[x + by, y], [x, y + by]]);
          return [width, height, ends.every((place) => document.elementFromPoint(...place) === one)];
        });""")
    assert hit and hit == [[36, 20, True]] * len(hit)


def test_the_navigation_fades_where_more_is(phone: Browser, dashboard: Dashboard) -> None:
    def fades(path: str, text: str) -> Set[str]:
        phone.go(dashboard.page + path)
        ready(phone, path)
        phone.wait("document.querySelector('.nav.before, .nav.after') !== null")
        assert phone.run("""
            const {left, right} = document.querySelector(".nav [aria-current]").getBoundingClientRect();
            return left >= 0 && right <= innerWidth""")
        assert phone.run("return document.querySelector('.nav [aria-current]').textContent") == text
        return set(phone.run("return [...document.querySelector('.nav').classList]")) - {"nav"}

    assert fades("/jobs", "Jobs") == {"after"}
    mask = phone.run("return getComputedStyle(document.querySelector('.nav')).maskImage")
    assert mask.endswith("rgba(0, 0, 0, 0))") and mask.count("rgba(") == 1, mask
    assert fades("/settings", "Settings") == {"before"}
    assert fades("/failures", "Failures") == {"before", "after"}
