"""The page Failures in Chromium, against `jd_server`: why runs fail in two clicks, tried again in three."""

from typing import Any, Dict

import pytest

from tests.browser.dashboard_support import (
    EVIL,
    PHONE,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
)
from tests.browser.webdriver import ESCAPE, TAB, Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["browser", "dashboard"]

TRACEBACK = 'Traceback (most recent call last):\n  File "/a/t.py", line 3, in f\n    g()\n%s\n'
FORMS = "[...document.querySelectorAll('.failure h2')].map((one) => one.textContent).join(' | ')"
ROWS = "[...document.querySelectorAll('.jobs .row-link')].map((one) => one.textContent).join()"


def end(dashboard: Dashboard, worker: str, **told: Any) -> Dict[str, Any]:
    """A worker takes the next job and ends it; without `told` well."""
    job = dashboard.claim(worker)
    body = {"job_id": job["job_id"], "attempt": job["attempt"], "status": "DONE", "verdict": "done",
            "exit_code": 0}
    if told:
        body.update({"status": "ABORTED", "verdict": "failed", "exit_code": 1, "message": "exit status 1",
                     "final": True}, **told)
    dashboard.call("/update_job_status", body)
    return job


def sweep(dashboard: Dashboard) -> None:
    """lr=1 fails, but for one; two more for want of a file, of which one is tried again."""
    dashboard.create_jobs([{"lr": 1.0 if at < 9 else 0.1, "opt": "ab"[at % 2]} for at in range(30)])
    for at in range(30):
        worker = "node%d_egg_0" % (at % 2)
        if at < 8:
            end(dashboard, "node1_egg_0", output_tail=TRACEBACK % ("ValueError: lr %d %s" % (at, EVIL)))
        elif at == 12:
            end(dashboard, worker, exit_code=3, output_tail="cannot open /data/%d.csv" % at)
        elif at == 13:
            end(dashboard, worker, exit_code=3, output_tail="cannot open /data/%d.csv" % at, final=False)
        else:
            end(dashboard, worker)


def test_why_runs_fail_in_two_clicks_and_again_in_three(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/workers")
    browser.click(".nav a", "Failures")
    browser.wait(FORMS + " === arguments[0]", "ValueError: lr <n> <img src=x onerror=<text>><script>"
                 "document.title=<text></script> | cannot open <path>")
    browser.wait_text("10 of 30 jobs failed at least once: 10 attempts, 2 kinds.")
    browser.wait_text("8 of 9 failed so, 0 of 21 others")
    first = str(browser.run("return document.querySelector('.failure').innerText"))
    assert "8\njobs" in first and "exit 1" in first
    assert "all 8 on node1" in first and "8 stayed failed" in first
    second = str(browser.run("return document.querySelectorAll('.failure')[1].innerText"))
    assert "1 stayed failed" in second and "1 tried again" in second and "exit 3" in second
    browser.click(".failure h2 a")
    browser.wait(ROWS + " === arguments[0]", ",".join("#%d" % number for number in range(1, 9)))
    assert browser.path == "/jobs?filter=error%3DE1"
    shown = str(browser.run("return document.querySelector('.jobs .is-error').innerText"))
    assert shown.startswith("ValueError: lr 0")
    # Three clicks from here: the page, the button, what it asks.
    browser.click(".nav a", "Failures")
    browser.click(".failure button", "Retry these 8")
    browser.click("dialog button", "Retry 8 jobs")
    browser.wait_text("8 jobs retried")
    browser.wait_text("8 tried again")
    assert browser.run("return document.title") == "Failures · exp"


def test_what_was_given_back_or_lost_stands_apart(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"x": at} for at in range(4)])
    end(dashboard, "node1_egg_0")
    beat = {"worker_id": "node2_egg_0", "session": "s"}
    job = dashboard.call("/worker/heartbeat", beat)["job"]
    dashboard.call("/worker/heartbeat", dict(beat, leave=True, released={
        "job_id": job["job_id"], "attempt": 1, "reason": "the worker leaves"}))
    browser.go(dashboard.page + "/failures")
    browser.wait_text("1 job ended, and no attempt failed.")
    browser.wait_text("1 attempt was given back by its worker. The script has not failed by that")
    card = str(browser.run("return document.querySelector('.failures-apart .failure').innerText"))
    assert "given back" in card and "1 attempt" in card and "No value of a parameter" not in card
    browser.go(dashboard.page + "/jobs/%d" % job["job_id"])
    browser.wait("document.querySelector('.job-failure.warn') !== null")


def test_what_stands_out_the_latest_output_and_a_link_that_says_all(browser: Browser,
                                                                    dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/failures?filter=opt%3Da")
    browser.wait_text("5 of 15 jobs failed at least once")
    browser.wait_text("4 of 5 failed so, 0 of 10 others")
    browser.click(".standouts a", "lr = 1")
    browser.wait(ROWS + " === arguments[0]", "#1,#3,#5,#7")
    browser.run("history.back()")
    browser.click(".failure-acts a", "Its output")
    browser.wait("document.querySelector('.output')?.textContent.includes('ValueError: lr 6')")
    assert browser.path == "/jobs/7?attempt=1"
    browser.wait_text("8 jobs failed like this")
    browser.click(".job-failure a", "8 jobs failed like this")
    browser.wait(ROWS + ".startsWith('#1,#2,#3')")
    browser.click(".tile-why")
    browser.wait_path("/failures")
    browser.keys("gj")
    browser.wait_path("/jobs")
    browser.keys("gf")
    browser.wait(FORMS + ".includes('cannot open <path>')")
    browser.type("input[type=search]", "nope=1")
    browser.wait_text("There is no 'nope' to search")


def test_nothing_to_tell_and_news(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"x": at} for at in range(3)])
    browser.go(dashboard.page + "/failures")
    browser.wait_text("No job has ended yet.")
    end(dashboard, "node1_egg_0", output_tail="fatal: no data")
    browser.wait(FORMS + " === 'fatal: no data'")
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.type("input[type=search]", "x=2")
    browser.click("button", "Clear the filter")
    browser.wait(FORMS + " === 'fatal: no data'")
    browser.click(".failure-acts button", "Retry it")
    browser.wait("document.querySelector('dialog[open]')")
    browser.keys(ESCAPE + TAB)
    assert browser.path == "/failures"
