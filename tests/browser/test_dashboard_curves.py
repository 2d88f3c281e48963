"""Curves in Chromium, against `jd_server`: on a job's page while it runs, and of many jobs on a page of their
own."""

from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from tests.browser.dashboard_support import (
    DESKTOP,
    PHONE,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
    sign_in,
)
from tests.browser.webdriver import ENTER, ESCAPE, Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["browser", "dashboard"]

DOWN, RIGHT = "\ue015", "\ue014"
LOSSES: Dict[int, List[Optional[float]]] = {1: [4, 2, 1], 2: [4, None, 0.5], 3: [0.25], 4: [9, 9, 9]}
TIP = "document.querySelector('.tip:not([hidden])')?.innerText.replace(/\\s+/g, ' ') || ''"
TICKED = "[...document.querySelectorAll('.curves-runs tbody tr')].map((row) => [row.innerText.split('\\t')" \
         ".map((text) => text.trim()).filter(Boolean), row.querySelector('input').checked])"

# Answers to questions that have a text in them wait until they are released.
HOLD = """const real = window.fetch, wanted = arguments[0];
    Object.assign(window, {held: [], real});
    window.fetch = (url, options) => (!String(url).includes(wanted) ? real(url, options)
        : new Promise((give) => window.held.push(() => {
            const answer = real(url, options);
            give(answer);
            return answer;
        })))"""
RELEASE = """window.fetch = window.real;
    return Promise.all(window.held.map((one) => one())).then(() => fetch(location.href)).then(() => null)"""


def report(dashboard: Dashboard, job_id: int, reports: List[Dict[str, Any]], first: int = 0) -> None:
    """What a job's worker sends of what it reports, ten seconds apart."""
    answer = dashboard.call("/worker/report", {
        "job_id": job_id, "attempt": 1, "first": first,
        "reports": [[10.0 * (first + at), one] for at, one in enumerate(reports)]})
    assert answer["count"] == first + len(reports)


def sweep(dashboard: Dashboard) -> None:
    """Four jobs with a loss, the first of which still runs; the last has no metric but this one."""
    dashboard.create_jobs([{"lr": 0.1 * job_id, "opt": "adam", "seed": 7} for job_id in LOSSES])
    for job_id, losses in LOSSES.items():
        dashboard.claim("node%d-0-0" % job_id)
        report(dashboard, job_id, [
            dict({"step": 100 * at, "loss": "NaN" if loss is None else loss},
                 **({"f1": at / 4} if job_id < 4 else {})) for at, loss in enumerate(losses)])
        if job_id > 1:
            dashboard.finish(job_id)


def drag(browser: Browser, css: str, *shares: float) -> None:
    """Press on a place of an element, move to another and let go: x and y of either as shares."""
    box = browser.run("const box = document.querySelector(arguments[0]).getBoundingClientRect();"
                      "return [box.left, box.width, box.top, box.height]", css)
    places = [(box[0] + x * box[1], box[2] + y * box[3]) for x, y in (shares[:2], shares[2:])]
    for kind, (x, y), buttons in (("mousePressed", places[0], 1), ("mouseMoved", places[1], 1),
                                  ("mouseReleased", places[1], 0)):
        browser.devtools("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons,
                         clickCount=1)


def shown(browser: Browser) -> Any:
    """All that tells what the page shows."""
    browser.wait("document.querySelector('.curves-surface') !== null")
    return browser.run("""return [location.pathname + location.search,
        [...document.querySelectorAll('main select, main input')].map((one) => [one.value, one.checked]),
        [...document.querySelectorAll('main [aria-pressed=true]')].map((one) => one.textContent),
        [...document.querySelectorAll('.plot-box .tick, .plot-box .title')].map((one) => one.textContent),
        [...document.querySelectorAll('.curves-runs tbody tr')].map((row) => row.innerText),
        document.querySelector('.plot-box canvas').toDataURL()]""")


def test_a_running_job_shows_its_curves_one_click_from_the_table(
        browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/jobs")
    browser.click("a.row-link", "#1")
    browser.wait("[...document.querySelectorAll('#job-curves h2')].map((one) => one.textContent).join()"
                 " === 'Curves,loss,f1'")
    browser.wait("document.querySelector('#job-curves .plot-note').textContent === 'now 1'")
    assert browser.run("return document.querySelector('#job-curves').getBoundingClientRect().top < 200")
    browser.run("window.same = document.querySelector('#job-curves canvas')")
    report(dashboard, 1, [{"step": 300, "loss": 0.75, "new": 1}], first=3)
    browser.wait("document.querySelector('#job-curves .plot-note').textContent === 'now 0.75'")
    browser.wait("document.querySelectorAll('#job-curves canvas').length === 3")
    assert browser.run("return window.same.isConnected")  # what is pointed at stays
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.size(*DESKTOP)
    browser.run("document.querySelector('#job-curves .curves-surface').focus()")
    browser.keys(DOWN)
    browser.wait(TIP + ".startsWith('Attempt 1')")
    browser.keys(ENTER)
    browser.wait("location.search.includes('metric=loss&ids=1&')")
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelector('#job-curves .plot-note')?.textContent === 'now 0.75'")
    dashboard.finish(1)
    browser.wait("document.querySelector('#job-curves .plot-note').textContent === 'last 0.75'")


def test_the_best_jobs_their_values_and_the_keyboard(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.keys("gc")
    browser.wait_path("/curves?metric=loss&less=1")
    browser.wait("document.querySelector('.curves-runs thead').innerText.includes('lr')")  # which differs
    browser.wait("JSON.stringify(%s) === JSON.stringify(arguments[0])" % TICKED, [
        [["#3", "done", "0.25", "0.3"], True], [["#2", "done", "0.5", "0.2"], True],
        [["#1", "running", "1", "0.1"], True], [["#4", "done", "9", "0.4"], True]])
    browser.run("document.querySelector('.curves-surface').focus()")
    browser.keys(DOWN)
    assert browser.run("return " + TIP) == "Job #3 · done loss 0.25 step 0 lr 0.3"
    browser.keys(DOWN + RIGHT + RIGHT)
    assert browser.run("return " + TIP) == "Job #2 · done loss 0.5 step 200 lr 0.2"  # the gap is passed over
    assert browser.run("return document.querySelector('.curves-runs tr.lit a').textContent") == "#2"
    # What is told follows what is drawn.
    browser.run("const slide = document.querySelector('.curves-smooth input'); slide.value = 0.1;"
                "slide.dispatchEvent(new Event('input'))")
    browser.wait(TIP + ".startsWith('Job #2 · done loss 0.5 smoothed 1.')")
    browser.keys("+")
    browser.wait("location.search.includes('from=')")
    browser.keys(ESCAPE)
    browser.wait("!location.search.includes('from=')")
    browser.click("button", "Show as table")
    browser.wait("document.querySelectorAll('.curves-cards tbody tr').length === 4")
    assert browser.run("return document.querySelector('.curves-cards tbody tr').innerText.split('\\t')"
                       ".map((text) => text.trim())") == ["#3", "done", "1", "0.25", "0.25", "0.25"]
    browser.click("button", "Show as plot")
    browser.run("document.querySelector('.curves-runs tbody tr:nth-child(4) input').click()")
    browser.wait("location.search.includes('hide=4')")
    browser.click("button", "Higher is better")
    browser.wait("location.search.includes('less=0')")
    browser.wait("document.querySelector('.curves-runs tbody a').textContent === '#4'")
    browser.run("document.querySelector('.curves-surface').focus()")
    browser.keys(DOWN + ENTER)
    browser.wait_path("/jobs/1")  # the best that is shown


def test_a_range_is_dragged_and_left_and_a_link_shows_another_browser_the_same(
        browser: Browser, dashboard: Dashboard, tmp_path: Path) -> None:
    sweep(dashboard)
    browser.go(dashboard.page
               + "/curves?metric=loss&metric2=f1&ids=1,2,4&smooth=0.5&logy=1&x=relative&hide=4")
    browser.wait("document.querySelectorAll('.curves-surface').length === 2")
    drag(browser, ".curves-surface", 0.4, 0.4, 0.8, 0.42)
    browser.wait("/from=\\d.*to=\\d/.test(location.search)")
    browser.wait("[...document.querySelectorAll('button')].some((one) => one.textContent === 'Reset zoom'"
                 " && one.checkVisibility())")
    first = shown(browser)
    with Browser(tmp_path) as other:
        other.size(*DESKTOP)
        sign_in(other, dashboard)
        other.go(dashboard.page + browser.path)
        other.wait("document.querySelectorAll('.curves-runs th').length === 6")
        assert shown(other) == first
    browser.run("document.querySelector('.curves-surface').focus()")
    browser.keys(ESCAPE)
    browser.wait("!location.search.includes('from=')")
    drag(browser, ".curves-surface", 0.3, 0.2, 0.6, 0.7)
    browser.wait("['from', 'to', 'low', 'high'].every((end) => location.search.includes(end + '='))")
    browser.run("document.querySelector('.curves-surface').dispatchEvent(new MouseEvent('dblclick'))")
    browser.wait("!/from=|low=/.test(location.search)")
    browser.size(*PHONE)
    browser.wait("document.querySelector('.plot-box canvas').clientWidth < 360")
    assert no_sideways_scrolling(browser)
    # Where a line ends, the two scales stay side by side, and what is chosen stands in a column.
    for size in (PHONE, (390, 844)):
        browser.size(*size)
        assert browser.run("""
            const places = (css, side) => [...new Set([...document.querySelectorAll(css)]
                .map((one) => one.getBoundingClientRect()[side]))];
            return [places('.curves-logs label', 'top').length, places('.choice select', 'left').length]
        """) == [1, 1], size


def test_other_jobs_while_a_range_is_shown(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/curves?metric=loss&less=1&from=50&to=150")
    browser.wait_text("4 jobs with loss")
    browser.run("const tally = document.querySelector('main .hint[aria-live]'); window.said = [];"
                "new MutationObserver(() => window.said.push(tally.textContent))"
                ".observe(tally, {childList: true})")
    browser.type("input[type=search]", "lr<0.35" + ENTER)
    browser.wait("document.querySelectorAll('.curves-runs tbody tr').length === 3")
    browser.wait_text("3 jobs with loss")
    assert browser.run("return window.said.filter((one) => !one.includes('with loss'))") == []


@pytest.mark.parametrize("path, question", [
    ("/curves", "curves/names"), ("/history", "results/names"), ("/results", "results/names"),
    ("/compare?ids=1,2", "job?id")])
def test_a_page_that_was_left_while_it_loads_changes_nothing_of_the_next_one(
        browser: Browser, dashboard: Dashboard, path: str, question: str) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/jobs?filter=lr%3E0.15")
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 3")
    browser.run(HOLD, question)
    browser.run("const link = document.createElement('a'); link.href = arguments[0];"
                "document.querySelector('main').append(link); link.click()", dashboard.page + path)
    browser.wait("window.held.length > 0")
    browser.run("history.back()")
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 3")
    browser.run(RELEASE)
    assert browser.run("return [location.search, document.title.split(' · ')[0]]") == [
        "?filter=lr%3E0.15", "Jobs"]


def test_the_selection_of_the_table_and_a_filter(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/jobs")
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 4")
    for job_id in (2, 4):
        browser.click("input[aria-label='Select job %d']" % job_id)
    browser.click(".bulk button", "Curves")
    browser.wait("location.search.startsWith('?ids=2,4&')")
    browser.wait_text("2 jobs with loss")
    browser.type("input[type=search]", "lr>0.35" + ENTER)
    browser.wait("location.search.includes('filter=') && !location.search.includes('ids=')")
    browser.wait_text("1 job with loss")
    browser.type("input[type=search]", "lr>9" + ENTER)
    browser.wait_text("No job that matches the filter has reported loss.")
    browser.click("button", "Show the best jobs")
    browser.wait_text("4 jobs with loss")
    browser.type("input[type=search]", "lr>" + ENTER)
    browser.wait("document.querySelector('#filter-say').textContent !== ''")


def test_jobs_beside_each_other_have_their_curves_over_each_other(
        browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/compare?ids=1,3,4")
    browser.wait("[...document.querySelectorAll('.small-curves .legend')].map((one) => one.innerText"
                 ".replace(/\\s+/g, ' ')).join('; ') === 'Job #1 Job #3 Job #4; Job #1 Job #3'")
    report(dashboard, 1, [{"step": 300, "other": 1}], first=3)
    browser.wait("document.querySelectorAll('.small-curves canvas').length === 3")


def test_before_anything_was_reported_the_page_says_how(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 1}])
    dashboard.claim()
    browser.go(dashboard.page + "/curves")
    browser.wait_text("jd.jd_report(step=epoch")
    browser.wait_text('>> "$JD_METRICS"')
    report(dashboard, 1, [{"loss": 1}])
    browser.wait("document.querySelector('.curves-surface') !== null")


def test_marks_in_the_list_of_jobs_stand_still(browser: Browser, dashboard: Dashboard) -> None:
    """A thousand that turn would take most of each frame."""
    sweep(dashboard)
    browser.go(dashboard.page + "/curves?metric=loss")
    browser.wait("document.querySelector('.curves-runs .status.running') !== null")
    turning = "return document.querySelector('.curves-runs').getAnimations({subtree: true}).length"
    assert browser.run(turning) == 0


# How many lines each painting of curves has; one begins with an empty canvas.
COUNT = """
window.painted = [];
const {clearRect, lineTo} = CanvasRenderingContext2D.prototype;
Object.assign(CanvasRenderingContext2D.prototype, {
  clearRect(...box) { window.painted.push(0); clearRect.apply(this, box); },
  lineTo(...place) { window.painted[window.painted.length - 1] += 1; lineTo.apply(this, place); }});
"""
SLIDE = """const slide = document.querySelector('[aria-label=Smoothing]'); slide.value = 0.5;
    slide.dispatchEvent(new Event(arguments[0], {bubbles: true}))"""


def test_a_drag_of_the_smoothing_that_rests_ends_in_the_whole_picture(browser: Browser,
                                                                      dashboard: Dashboard) -> None:
    # More reports than a sketch has, and as many of each curve as the server sends.
    jobs, reports = 42, [{"step": step, "loss": step % 7} for step in range(1000)]
    dashboard.create_jobs([{"seed": seed} for seed in range(jobs)])
    for job_id in range(1, jobs + 1):
        dashboard.claim("node%d-0-0" % job_id)
        report(dashboard, job_id, reports)
        dashboard.finish(job_id)
    browser.go(dashboard.page + "/curves?best=%d" % jobs)
    browser.wait("document.querySelectorAll('.curves-runs tbody tr').length === arguments[0]", jobs)
    browser.run(COUNT)
    browser.run(SLIDE, "input")
    sketch, *_, whole = browser.wait(
        "window.painted.length > 1 && window.painted.at(-1) > 40000 && window.painted")
    assert 0 < sketch <= 40_000
    browser.run("window.painted.length = 0")
    browser.run(SLIDE, "change")  # the hand has left the slider
    assert browser.wait("window.painted.at(-1)") == whole
