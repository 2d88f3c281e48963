"""The page Compare of the dashboard, in Chromium."""

import json
import struct
import zlib
from typing import Any, Dict, List

import pytest

from tests.browser.dashboard_support import EVIL, PHONE, Dashboard, browser, dashboard, no_sideways_scrolling
from tests.browser.webdriver import Browser, needs_browser

__all__ = ["browser", "dashboard"]
pytestmark = [pytest.mark.slow, needs_browser]

LINES = """
return [...document.querySelectorAll('.compare-table tbody:not([hidden]) tr')].map((row) =>
  [...row.children].map((cell) => cell.querySelector('.best-mark') ? 'best ' + cell.lastChild.textContent
    : cell.textContent));
"""


def _picture() -> bytes:
    """A PNG of one pixel."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(
            ">I", zlib.crc32(kind + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\1\2\3")) + chunk(b"IEND", b""))


def _lines(browser: Browser, job_count: int) -> List[List[str]]:
    browser.wait("document.querySelectorAll('.compare-table thead th').length === arguments[0]", job_count)
    return [list(line) for line in browser.run(LINES)]


def _two_and_a_failure(dashboard: Dashboard) -> None:
    dashboard.create_jobs([
        {"lr": lr, "opt": opt, "seed": 7, "note": EVIL}
        for lr, opt in ((0.1, "adam"), (0.01, "adam"), (0.1, "sgd"))])
    for results in ({"loss": 0.5, "accuracy": 0.9}, {"loss": 0.25, "accuracy": 0.9, "extra": 1}, None):
        job = dashboard.claim()
        if results:
            dashboard.upload(job["job_id"], "result.json", json.dumps(results).encode())
            dashboard.upload(job["job_id"], "confusion.png", _picture())
        dashboard.finish(job["job_id"], "DONE" if results else "ABORTED", "" if results else "boom")


def test_two_jobs_are_compared_with_three_clicks(browser: Browser, dashboard: Dashboard) -> None:
    _two_and_a_failure(dashboard)
    browser.go(dashboard.page + "/jobs")
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 3")
    for row in (1, 2):
        browser.click(".jobs tbody tr:nth-child(%d) .check input" % row)
    browser.click(".bulk button", "Compare")
    lines = _lines(browser, 2)
    ids = browser.run("return [...document.querySelectorAll('.compare-job a')].map((a) => a.textContent)")
    assert sorted(ids) == ["#1", "#2"]
    by_name = {line[0]: line[1:] for line in lines if len(line) > 1}
    lr = dict(zip(ids, by_name["lr"]))
    assert lr == {"#1": "0.1", "#2": "0.01"}
    assert dict(zip(ids, by_name["loss ↓ better"])) == {"#1": "0.5", "#2": "best 0.25"}
    assert dict(zip(ids, by_name["extra"])) == {"#1": "–", "#2": "1"}
    # What is alike is folded, and behind a button.
    assert "opt" not in by_name and "accuracy" not in by_name
    browser.click(".compare-title button", "3 lines alike ▸")
    assert ["seed", "7", "7"] in _lines(browser, 2)
    assert browser.run("return document.querySelectorAll('.compare-strip img').length") == 2


def test_jobs_are_added_and_left_out_and_stand_in_the_address(browser: Browser, dashboard: Dashboard) -> None:
    _two_and_a_failure(dashboard)
    browser.go(dashboard.page + "/compare?ids=1,2")
    _lines(browser, 2)
    add: Any = ".compare-add input"
    browser.type(add, "99")
    browser.click(".compare-add button")
    browser.wait_text("There is no job 99.")
    browser.run("document.querySelector('.compare-add input').value = ''")
    browser.type(add, "3")
    browser.click(".compare-add button")
    lines = _lines(browser, 3)
    assert ["ended as", "done", "done", "failed"] in lines
    assert ["opt", "adam", "adam", "sgd"] in lines
    browser.wait("location.search === '?ids=1,2,3'")
    browser.click("button[aria-label='Leave job 1 out']")
    _lines(browser, 2)
    browser.wait("location.search === '?ids=2,3'")
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)


def test_an_address_without_jobs_says_what_to_do(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/compare?ids=1;drop")
    browser.wait_text("No jobs to compare")
    browser.go(dashboard.page + "/compare?ids=41,42")
    browser.wait_text("There are no jobs 41, 42.")


def test_which_values_are_better_is_chosen_and_never_guessed(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": lr} for lr in (0.1, 0.2)])
    for results in ({"loss": 0.5, "grad_norm": 3, "lr": 0.1}, {"loss": 0.25, "grad_norm": 7, "lr": 0.2}):
        job = dashboard.claim()
        dashboard.upload(job["job_id"], "result.json", json.dumps(results).encode())
        dashboard.finish(job["job_id"])

    def shown(address: str = "") -> Dict[str, List[str]]:
        if address:
            browser.go(dashboard.page + address)
        return {line[0]: line[1:] for line in _lines(browser, 2) if "better" in line[0]}

    way: Any = "[aria-label^='grad_norm:']"
    assert shown("/compare?ids=1,2") == {
        "loss ↓ better": ["0.5", "best 0.25"], "grad_norm better?": ["3", "7"]}
    browser.click(way)
    assert shown()["grad_norm ↓ better"] == ["best 3", "7"]
    assert browser.run("return document.activeElement.matches(arguments[0])", way)
    assert browser.path == "/compare?ids=1,2&less=grad_norm"
    browser.click(way)
    assert shown()["grad_norm ↑ better"] == ["3", "best 7"]
    link = "/compare?ids=1,2&more=grad_norm"
    assert browser.path == link
    # The browser keeps it; a link shows another person the same.
    browser.go(dashboard.page + "/compare?ids=1,2")
    assert shown()["grad_norm ↑ better"] == ["3", "best 7"] and browser.path == link
    browser.run("localStorage.setItem('results.less', '{\"grad_norm\": true, \"loss\": false}')")
    assert shown(link) == {"loss ↓ better": ["0.5", "best 0.25"], "grad_norm ↑ better": ["3", "best 7"]}
    browser.run("localStorage.removeItem('results.less')")
    browser.size(*PHONE)
    # There each stands below its name, also below a short one.
    lefts = browser.run("return [...document.querySelectorAll('.compare-turn')]"
                        ".map((one) => one.getBoundingClientRect().left)")
    assert len(lefts) == 2 and lefts[0] == lefts[1]
