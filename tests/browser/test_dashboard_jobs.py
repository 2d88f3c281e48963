"""The dashboard's shell and its Jobs page in Chromium, against `jd_server`."""

from typing import Any, List

import pytest

from tests.browser.dashboard_support import (
    EVIL,
    PHONE,
    PIN,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
    sign_in,
)
from tests.browser.webdriver import ENTER, ESCAPE, Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["browser", "dashboard"]

ROWS = "[...document.querySelectorAll('.jobs tbody .row-link')].map((one) => one.textContent)"


def rows(browser: Browser, *expected: int) -> None:
    """Wait until the table shows exactly these jobs."""
    browser.wait("JSON.stringify(" + ROWS + ") === arguments[0]",
                 str(["#%d" % one for one in expected]).replace("'", '"').replace(" ", ""))


def sweep(dashboard: Dashboard, n: int = 60) -> None:
    dashboard.create_jobs([{"lr": 0.001 * (at % 3), "opt": "adam" if at % 2 else "sgd", "seed": at}
                           for at in range(n)])


def column(browser: Browser, head: str) -> List[Any]:
    """The texts of a column."""
    return list(browser.run(
        "return [...document.querySelectorAll('.jobs td[data-label=\"%s\"]')].map((one) => one.textContent)"
        % head))


def test_filter_sort_and_turn_pages(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    rows(browser, *range(1, 51))
    browser.wait_text("1–50 of 60")
    browser.click(".pager button", "Next")
    rows(browser, *range(51, 61))
    browser.click(".pager button", "Previous")
    rows(browser, *range(1, 51))
    browser.click("th button", "seed")
    browser.click("th button", "seed")
    rows(browser, *range(60, 10, -1))
    assert browser.run("return document.querySelector('[aria-sort=descending]').textContent") == "seed"
    browser.type(".filter", "opt=adam seed<5")
    browser.keys(ENTER)
    rows(browser, 4, 2)
    assert "filter=opt" in browser.path and "sort=-param.seed" in browser.path
    browser.go(dashboard.page + browser.path)
    rows(browser, 4, 2)
    browser.type(".filter", "optimiser=adam")
    browser.wait("document.querySelector('.say.bad').textContent.includes('optimiser')")
    assert browser.run("return document.querySelector('.filter').getAttribute('aria-invalid')") == "true"


def test_a_filter_that_is_too_long_is_refused_and_not_cut(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    rows(browser, *range(1, 51))
    browser.type(".filter", "x" * 501)
    browser.wait_text("Filter has 501 characters; at most 500.")
    assert browser.run("return document.querySelector('.filter').value.length") == 501
    rows(browser, *range(1, 51))


def test_figures_filter_and_back_goes_back(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard, 4)
    job = dashboard.claim()
    dashboard.finish(job["job_id"], "ABORTED", "out of memory")
    rows(browser, 1, 2, 3, 4)
    browser.click(".tile:has(.aborted)")
    rows(browser, job["job_id"])
    assert browser.run("return document.querySelector('.filter').value") == "status=ABORTED"
    browser.run("history.back()")
    rows(browser, 1, 2, 3, 4)
    assert browser.run("return document.querySelector('[aria-pressed=true] span').textContent") == "all jobs"


def test_a_job_that_comes_back_is_retrying_and_not_finished(browser: Browser, dashboard: Dashboard) -> None:
    first = dashboard.create_jobs([{"x": at} for at in range(4)])
    for status in ("DONE", "ABORTED"):
        dashboard.finish(dashboard.claim()["job_id"], status)
    browser.go(dashboard.page + "/jobs")
    browser.wait_text("1 of 4 jobs finished")
    browser.wait("document.querySelector('tbody .status.retrying')?.textContent === 'retrying'")
    browser.wait("document.querySelector('.tile:has(.aborted)').textContent.includes('1 retrying')")
    assert browser.run("return document.querySelector('.stack .aborted').style.width") == "0%"
    browser.go(dashboard.page + "/jobs/%d" % (first + 1))
    browser.wait_text("retrying")


def test_what_matches_is_deleted_and_restored(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    rows(browser, *range(1, 51))
    browser.type(".filter", "seed>=5")
    browser.wait_text("1–50 of 55")
    browser.click("th.check input")
    browser.click(".bulk button", "Select all 55 that match")
    browser.click(".bulk button", "Delete")
    browser.wait("document.querySelector('dialog .counts').textContent === 'pending55'")
    browser.type("dialog input", "a wrong seed")
    browser.click("dialog button", "Delete 55 jobs")
    browser.wait_text("55 jobs deleted")
    dashboard.until(PENDING=5, DELETED=55)
    browser.wait("document.querySelector('.bulk').hidden")
    browser.click(".tile:has(.deleted)")
    rows(browser, *range(6, 56))
    browser.click("tbody .check input")
    browser.click(".bulk button", "Restore")
    browser.click("dialog button", "Restore")
    dashboard.until(PENDING=6, DELETED=54)
    rows(browser, *range(7, 57))
    messages = next(job["message"] for job in dashboard.jobs() if job["id"] == 6)
    assert "a wrong seed" in str(messages)


def test_a_refresh_keeps_focus_and_selection(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard, 5)
    rows(browser, 1, 2, 3, 4, 5)
    browser.keys("jjx")
    assert browser.run("return document.activeElement.textContent") == "#2"
    browser.run("window.row = document.activeElement.closest('tr')")
    for status in ("running", "done"):
        if status == "running":
            taken = [dashboard.claim("node1-0-%d" % slot)["job_id"] for slot in range(2)]
            assert taken == [1, 2]
        else:
            dashboard.finish(2)
        browser.wait("document.querySelectorAll('.jobs tbody tr')[1].querySelector('.status').textContent"
                     " === arguments[0]", status)
        assert browser.run("const row = window.row, focused = document.activeElement.closest('tr') === row;"
                           "return row.isConnected && focused && row.querySelector('input').checked")
        rows(browser, 1, 2, 3, 4, 5)
    assert browser.run("return document.querySelector('.bulk b').textContent") == "1 selected"


def test_keys_lead_through_the_pages(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard, 3)
    rows(browser, 1, 2, 3)
    browser.keys("/")
    browser.keys("gw")  # typed, not pressed
    assert browser.run("return document.querySelector('.filter').value") == "gw" and browser.path == "/jobs"
    browser.keys(ESCAPE)
    browser.run("document.activeElement.blur()")
    browser.keys("?")
    browser.wait_text("Keyboard shortcuts")
    browser.keys(ESCAPE)
    browser.wait("document.querySelector('dialog') === null")
    browser.keys("gw")
    browser.wait_path("/workers")
    assert browser.run("return document.querySelector('.nav [aria-current]').textContent") == "Workers"
    browser.keys("gj")
    rows(browser, 1, 2, 3)
    browser.keys("jj" + ENTER)
    browser.wait_path("/jobs/2")
    browser.run("history.back()")
    rows(browser, 1, 2, 3)
    browser.wait("document.activeElement.matches('.row-link')")
    assert browser.run("return document.activeElement.textContent") == "#2"


def test_parameters_are_text_and_a_phone_needs_no_sideways_scrolling(browser: Browser,
                                                                     dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"evil": EVIL, "long": "x" * 400, **{"p%d" % at: at for at in range(12)}}])
    rows(browser, 1)
    assert column(browser, "evil")[0].startswith(EVIL[:10])
    assert "p11" not in browser.run("return document.querySelector('.jobs').textContent")
    browser.click("button", "Columns")
    browser.click(".menu label", "p11")
    browser.keys(ESCAPE)
    assert column(browser, "p11") == ["11"]
    browser.size(*PHONE)
    browser.go(dashboard.page + "/jobs")
    rows(browser, 1)
    assert column(browser, "p11") == ["11"]
    assert no_sideways_scrolling(browser)
    browser.click("tbody .check input")
    browser.click(".bulk button", "Abort")
    browser.wait_text("Abort job 1?")
    assert no_sideways_scrolling(browser)
    assert browser.run("return document.title") == "Jobs · exp"
    assert browser.run("return document.querySelectorAll('#main img[src=x], #main script').length") == 0


def test_the_theme_is_kept(browser: Browser, dashboard: Dashboard) -> None:
    def page() -> str:
        return str(browser.run("return getComputedStyle(document.body).backgroundColor"))
    light = page()
    browser.click("#theme")
    browser.click(".menu button", "Dark")
    dark = page()
    assert dark != light
    browser.go(dashboard.page + "/jobs")
    assert page() == dark
    browser.click("#theme")
    browser.click(".menu button", "System")
    assert page() == light


def test_the_first_page_says_how_to_begin(browser: Browser, dashboard: Dashboard) -> None:
    browser.wait_text("No jobs yet")
    assert browser.run("return document.querySelector('.secret pre').textContent") == (
        "jd_worker_cli expId=exp entry_script=train.py server=" + dashboard.url)
    sweep(dashboard, 2)
    rows(browser, 1, 2)
    assert browser.run("const start = document.querySelector('.start');"
                       "return start === null || !start.checkVisibility()")


def test_completions_are_drawn_and_told(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard, 2)
    for host in ("node1", "node2_with_a_long_name." * 4):
        dashboard.finish(dashboard.claim(host + "-0-0")["job_id"])
    browser.wait("document.querySelectorAll('.bar-done').length === 1")
    # The longest of the hosts does not make their list wider than the page.
    browser.wait("document.querySelector('[aria-label=Completions] select').options.length === 3")
    for size in ((1280, 900), PHONE):
        browser.size(*size)
        assert no_sideways_scrolling(browser), size
    browser.click(".seg button", "60 min")
    browser.click(".as-table summary")
    browser.wait("document.querySelectorAll('.as-table tbody tr').length === 60")
    assert browser.run("return document.querySelector('.as-table tbody td:nth-child(2)').textContent") == "2"


def viewers(browser: Browser, dashboard: Dashboard, expected: int) -> None:
    browser.wait("(() => { fetch('/web/settings').then((one) => one.json())"
                 ".then((one) => { window.viewers = one.viewers; });"
                 "return window.viewers === arguments[0]; })()", expected)


def test_a_hidden_tab_holds_no_connection(browser: Browser, dashboard: Dashboard) -> None:
    viewers(browser, dashboard, 1)
    browser.run("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true});"
                "document.dispatchEvent(new Event('visibilitychange'))")
    viewers(browser, dashboard, 0)
    sweep(dashboard, 2)
    browser.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    viewers(browser, dashboard, 1)
    rows(browser, 1, 2)
    assert browser.run("return document.getElementById('link').textContent") == ""


def test_without_events_the_page_asks(browser: Browser, dashboard: Dashboard) -> None:
    browser.devtools("Network.enable")
    browser.devtools("Network.setBlockedURLs", urls=["*/web/events"])
    browser.go(dashboard.page + "/jobs")
    browser.wait_text("every 2 s")
    sweep(dashboard, 2)
    rows(browser, 1, 2)
    browser.devtools("Network.setBlockedURLs", urls=[])
    browser.go(dashboard.page + "/jobs")
    rows(browser, 1, 2)
    assert all("/web/events" in line for line in browser.console())


def test_who_is_signed_out_comes_back_to_the_same_page(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard, 3)
    rows(browser, 1, 2, 3)
    browser.type(".filter", "seed=1")
    rows(browser, 2)
    browser.devtools("Network.clearBrowserCookies")
    dashboard.claim()
    browser.wait("location.pathname === '/signin'")
    browser.type("#pin", PIN)
    browser.click("form button")
    browser.wait_path("/jobs?filter=seed%3D1")
    rows(browser, 2)
    browser.click("#signout")
    browser.wait("location.pathname === '/signin'")
    assert browser.cookies() == []
    sign_in(browser, dashboard)


def test_a_long_search_is_told_and_stopped(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard, 3)
    rows(browser, 1, 2, 3)
    # The server looks at 50,000 jobs for one answer; here it seems to have more.
    browser.run("""
        const ask = window.fetch;
        const state = {status: "DONE", attempt: 1, failures: 0, priority: 0};
        const job = {id: 7, parameters: {seed: 6}, results: null, ...state};
        const columns = {parameters: ["seed"], results: [], needs: [], tags: []};
        const found = {columns, total: null, scanned: 50000, jobs: [job]};
        let asked = 0;
        window.fetch = (path, options) => {
          if (!path.startsWith("/web/jobs?")) return ask(path, options);
          asked += 1;
          if (asked === 1) return Promise.resolve(new Response(JSON.stringify({...found, next: "a"})));
          const {signal} = options;
          return new Promise((_, refuse) => signal.addEventListener("abort", () => refuse(signal.reason)));
        };""")
    browser.type(".filter", "seed>5")
    browser.keys(ENTER)
    browser.wait_text("Searched 50,000")
    rows(browser, 7)
    browser.click("button", "Stop")
    browser.wait_text("Stopped after 50,000 jobs.")
    browser.click("button", "Search on")
    browser.wait("document.querySelector('.card[aria-busy=true]') !== null")
    rows(browser, 7)
    assert browser.run("return document.querySelector('.pager button:last-child').disabled") is False
