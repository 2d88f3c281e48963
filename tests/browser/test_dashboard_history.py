"""The History page in Chromium, against `jd_server`."""

import json
from pathlib import Path
from typing import Any, List, Optional

import pytest

from tests.browser.dashboard_support import (
    PHONE,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
    sign_in,
)
from tests.browser.webdriver import ENTER, Browser, needs_browser

__all__ = ["browser", "dashboard"]
pytestmark = [pytest.mark.slow, needs_browser]

ARROW_RIGHT = "\ue014"


def give(dashboard: Dashboard, numbers: List[Optional[Any]]) -> None:
    """A job for each number, with that as its `model.long.name/score`; None: without results."""
    first = dashboard.create_jobs([{"x": at % 2} for at in range(len(numbers))])
    for at, number in enumerate(numbers):
        assert dashboard.claim()["job_id"] == first + at
        if number is not None:
            told = json.dumps({"model.long.name/score": number, "loss": 1}).encode()
            dashboard.upload(first + at, "result.json", told)
        dashboard.finish(first + at)


def attempts(dashboard: Dashboard) -> None:
    """Six attempts on two hosts, of which one worker says what a job of it has; one fails, one runs."""
    dashboard.create_jobs([{"x": at} for at in range(6)])
    for at in range(6):
        worker = "node%d_egg_0" % (at % 2 + 1)
        told = {"job_cpus": 8, "job_gpus": 0.5} if at % 2 else {}
        answer = dashboard.call("/worker/heartbeat", {
            "worker_id": worker, "session": "s", "host": worker[:5], "reported_status": "idle",
            "system_metrics": told})
        if at < 5:
            failed = at == 2
            dashboard.call("/update_job_status", {
                "job_id": answer["job"]["job_id"], "attempt": 1, "status": "ABORTED" if failed else "DONE",
                "message": "exit 1" if failed else "", "runtime": 3600.0, "final": failed})


def rows(browser: Browser) -> List[List[str]]:
    return list(browser.run("return [...document.querySelectorAll('.history tbody tr')].map("
                            "(row) => [...row.cells].map((cell) => cell.textContent))"))


def test_the_best_so_far_by_pointer_keys_table_and_link(browser: Browser, dashboard: Dashboard,
                                                        tmp_path: Path) -> None:
    give(dashboard, [0.5, 0.5, float("nan"), 0.75, None, 0.625, 0.25])
    browser.click(".nav a", "History")
    said = "5 of 7 finished jobs have model.long.name/score: 1 NaN, 1 done without it"
    browser.wait_text(said)
    for metric, tally in (("loss", "6 of 7 finished jobs have loss: 1 done without it"),
                          ("model.long.name/score", said)):
        browser.run("const pick = document.querySelector('.choice select'); pick.value = arguments[0];"
                    "pick.dispatchEvent(new Event('change'))", metric)
        browser.wait_text(tally)
    browser.wait_text("No better job in the last 3 jobs / ")
    browser.click(".seg button", "By jobs")
    browser.wait("document.querySelector('.plot-best .title')?.textContent.startsWith('finished jobs')")
    browser.run("document.querySelector('.plot-best .surface').focus()")
    browser.keys(ARROW_RIGHT + ARROW_RIGHT)
    browser.wait("document.querySelector('.plot-best .tip:not([hidden])')?.textContent.includes('Job #4')")
    browser.click(".plot-best button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-best tbody tr').length === 5")
    assert [(row[0], row[1], row[2], row[4]) for row in rows(browser)] == [
        ("#4", "0.75", "yes", "4"), ("#1", "0.5", "yes", "1"), ("#7", "0.25", "", "7"),
        ("#6", "0.625", "", "6"), ("#2", "0.5", "", "2")]
    browser.click(".seg button", "Lower is better")
    browser.wait_text("The last job that finished is the best so far")
    browser.type(".filter", "x=1" + ENTER)
    browser.wait_text("3 of 3 finished jobs have")
    address = browser.path
    with Browser(tmp_path) as other:
        sign_in(other, dashboard)
        other.go(dashboard.page + address)
        other.wait_text("3 of 3 finished jobs have model.long.name/score")
        other.wait("document.querySelector('.plot-best .title')?.textContent.startsWith('finished jobs')")
        pressed = other.run("return [...document.querySelectorAll('[aria-pressed=true]')]"
                            ".map((one) => one.textContent)")
        assert pressed == ["Lower is better", "By jobs"] and other.path == address
        assert other.console() == []
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.click(".plot-best button", "Show as plot")
    browser.wait("document.querySelector('.plot-best .surface') !== null")
    browser.run("document.querySelector('.plot-best .surface').focus()")
    browser.keys(ARROW_RIGHT + ENTER)
    browser.wait_path("/jobs/2")


def test_what_a_sweep_has_cost(browser: Browser, dashboard: Dashboard) -> None:
    attempts(dashboard)
    browser.go(dashboard.page + "/history?view=cost")
    browser.wait_text("20 % failed and was wasted. CPUs and GPUs of ")
    browser.click(".seg button", "By host")
    browser.wait("document.querySelectorAll('.history tbody tr').length === 3")
    assert browser.path == "/history?view=cost&by=host"
    heads = browser.run("return [...document.querySelectorAll('.history th')].map((one) => one.textContent)")
    assert heads == ["Host", "Attempts", "Hours", "went into", "done", "failed", "running", "CPU hours",
                     "GPU hours", "Wasted"]
    found = {row[0]: row[1:] for row in rows(browser)}
    assert set(found) == {"node1", "node2", "All"}
    # The attempt that runs goes on by some milliseconds.
    assert [found["node1"][at] for at in (0, 1, 3, 4, 6, 7, 8)] == ["3", "3", "2", "1", "–", "–", "33 %"]
    assert [found["node2"][at] for at in (0, 1, 3, 4, 6, 7, 8)] == ["3", "2", "2", "0", "16", "1", "0 %"]
    told = browser.run("return document.querySelector('.cost-bar').getAttribute('aria-label')")
    assert told == "done 2 h, failed 1 h"
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.click(".history tbody a", "node1")
    browser.wait_path("/jobs?filter=host%3Dnode1")


def test_who_ran_what_when(browser: Browser, dashboard: Dashboard, tmp_path: Path) -> None:
    attempts(dashboard)
    browser.go(dashboard.page + "/history?view=workers")
    browser.wait_text("2 workers on 2 hosts in ")
    browser.wait_text("failed 1")
    browser.run("document.querySelector('.plot-timeline .surface').focus()")
    browser.keys(ARROW_RIGHT)
    browser.wait("document.querySelector('.timeline-frame').getAttribute('visibility') === 'visible'")
    browser.click(".plot-timeline button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-timeline tbody tr').length === 2")
    table = rows(browser)
    assert [row[0] for row in table] == ["node1_egg_0", "node2_egg_0"]
    assert [row[4:6] for row in table] == [["3", "1"], ["3", "0"]]
    browser.click(".plot-timeline button", "Show as plot")
    browser.click(".history-controls button", "+")
    browser.wait("location.search.includes('from=')")
    browser.wait("document.querySelector('.history-controls .seg [aria-pressed=true]') === null")
    browser.run("const pick = document.querySelector('.choice select'); pick.value = 'host';"
                "pick.dispatchEvent(new Event('change'))")
    browser.wait("document.querySelector('.plot-timeline h2').textContent === 'Timeline of hosts'")
    address, said = browser.path, browser.run("return document.querySelector('.history > .hint').textContent")
    with Browser(tmp_path) as other:
        sign_in(other, dashboard)
        other.go(dashboard.page + address)
        other.wait("document.querySelector('.plot-timeline h2')?.textContent === 'Timeline of hosts'")
        # The window is the same; how busy they were in it goes on while an attempt runs.
        assert other.run("return document.querySelector('.history > .hint').textContent").split(",")[0] == (
            str(said).split(",")[0])
        assert other.console() == []
    browser.click(".history-controls button", "All")
    browser.click(".timeline-names a", "node1")
    browser.wait("document.querySelector('.plot-timeline h2')?.textContent === arguments[0]",
                 "Timeline of workers of node1")
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.wait("document.querySelector('.plot-timeline .surface') !== null")
    browser.run("document.querySelector('.plot-timeline .surface').focus()")
    browser.keys(ARROW_RIGHT)
    for _ in range(12):  # past what is idle, to an attempt
        if "Job #" in browser.run("return document.querySelector('.tip').textContent"):
            break
        browser.keys(ARROW_RIGHT)
    browser.keys(ENTER)
    browser.wait("location.pathname.startsWith('/jobs/')")


def test_what_has_nothing_yet_looks_alike_and_gives_its_examples_whole(browser: Browser,
                                                                       dashboard: Dashboard) -> None:
    for path, text, examples in (
            ("/results", "No results yet", 1), ("/curves", "No curves yet", 2),
            ("/history", "No results yet", 0), ("/history?view=workers", "Nobody was", 0),
            ("/history?view=cost", "Nothing has run yet", 0)):
        browser.go(dashboard.page + path)
        browser.wait_text(text)
        assert browser.run("return document.querySelectorAll('main .card .empty').length") == 0, path
        assert browser.run("return [...document.querySelectorAll('.examples > *')].map((one) => ["
                           "one.querySelector('button').textContent,"
                           " one.querySelector('pre').scrollWidth <= one.querySelector('pre').clientWidth])"
                           ) == [["Copy", True]] * examples, path
    dashboard.create_jobs([{"lr": 0.1}])
    dashboard.finish(dashboard.claim()["job_id"])
    browser.wait("document.querySelector('main .card h2')?.textContent === 'Hours'")
