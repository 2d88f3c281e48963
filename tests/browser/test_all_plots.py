"""Every plot of every page in Chromium: the keyboard goes along its marks, and a table stands behind it."""

import json
import sqlite3
import time
from contextlib import closing
from typing import List, Tuple

from tests.browser.dashboard_support import Dashboard, browser, dashboard
from tests.browser.test_dashboard_signin import pytestmark
from tests.browser.webdriver import ENTER, Browser

__all__ = ["browser", "dashboard", "pytestmark"]

LEFT, RIGHT = "\ue012", "\ue014"
WORKER = "node0_egg_0"
# What is drawn and is no plot: marks and ramps of legends, small bars in cells of tables.
PLOTS = """
const large = (one) => one.clientWidth >= 100 && one.clientHeight >= 40 && !one.closest("td, .term");
const plots = new Set([...document.querySelectorAll("main svg, main canvas, aside svg, aside canvas")]
  .filter(large).map((one) => one.parentElement.closest(".plot-box, figure, .plot, section") || one));
"""
# A plot's title, and how often its surface can be focused.
FOUND = PLOTS + """
return [...plots].map((one) => {
  const card = one.closest("figure, section, .card");
  return [card.querySelector("h2, figcaption")?.textContent || one.outerHTML.slice(0, 80),
    one.querySelectorAll("svg[tabindex='0'][role=application][aria-label]").length];
});
"""
FOCUS = PLOTS + """
const surface = [...plots][arguments[0]].querySelector("svg[tabindex='0']");
surface.scrollIntoView({block: "center", behavior: "instant"});
surface.focus();
"""
# What the tip shows and what screen readers hear, without the spaces, and how the focus is seen.
TOLD = PLOTS + """
const plot = [...plots][arguments[0]], text = (one) => (one ? one.textContent.replace(/\\s+/g, "") : "");
return [text(plot.querySelector(".tip:not([hidden])")), text(plot.querySelector("[aria-live].sr")),
  getComputedStyle(document.activeElement).outlineStyle, plot.contains(document.activeElement)];
"""
# The rows of the table behind a plot: in its place, or below it.
TABLE = PLOTS + """
const plot = [...plots][arguments[0]], card = plot.closest("section");
const toggle = [...card.querySelectorAll("button")].find((one) => one.textContent === "Show as table");
const more = card.querySelector("details.as-table, details.wbehind");
if (toggle) toggle.click(); else if (more) more.open = true; else return 0;
return new Promise((told) => {
  const box = toggle ? plot : more, ends = Date.now() + 5000;
  const look = () => {
    const rows = box.querySelectorAll("tbody tr").length;
    if (!rows && Date.now() < ends) return setTimeout(look, 20);
    if (toggle) toggle.click(); else more.open = false;
    const back = () => (!toggle || plot.querySelector("svg[tabindex]") || Date.now() > ends
      ? told(rows) : setTimeout(back, 20));
    return back();
  };
  look();
});
"""
# How many tables take a plot's place when asked for, and how often it is drawn when they are left.
DRAWN = PLOTS + """
let drawn = 0;
const plot = [...plots][arguments[0]];
const toggle = () => plot.closest("section").querySelector(".card-head > button:last-child").click();
const frames = (n) => new Promise((over) => {
  const next = (left) => (left ? requestAnimationFrame(() => next(left - 1)) : over());
  next(n);
});
return (async () => {
  toggle();
  await frames(4);
  const tables = plot.querySelectorAll("table").length;
  new MutationObserver(() => { drawn += 1; }).observe(plot, {childList: true});
  toggle();
  await frames(6);
  return [tables, drawn];
})();
"""
# Where a plot is that can be pointed at.
PLACE = PLOTS + """
const edge = [...plots][arguments[0]].querySelector("svg[tabindex='0']").getBoundingClientRect();
return [edge.left, edge.top, edge.width, edge.height];
"""
# Whether a plot is drawn anew when it should be, and what it tells then.
AGAIN = PLOTS + """
const plot = [...plots][arguments[0]], text = (one) => (one ? one.textContent.replace(/\\s+/g, "") : "");
const surface = plot.querySelector("svg[tabindex='0']");
dispatchEvent(new Event("afterprint"));
return new Promise((told) => {
  const next = (left) => {
    if (left) return requestAnimationFrame(() => next(left - 1));
    return told([!surface.isConnected, text(plot.querySelector(".tip:not([hidden])"))]);
  };
  next(4);
});
"""
SURFACE = "document.querySelector('%s .surface') !== null"
OTHERS = ["/jobs", "/workers?worker=" + WORKER]  # pages whose plots have cards of their own
OF_TWO = ["Mean loss by lr and opt", "All parameters"]
# Each page, what says that it is there, the plots that it has, and whether Enter on the first follows a mark.
PAGES: List[Tuple[str, str, List[str], bool]] = [
    ("/jobs", "document.querySelector('main .chart') !== null", ["Completions"], False),
    ("/jobs/1", "document.querySelectorAll('#job-curves .surface').length === 2", ["course", "f1"], True),
    ("/results?metric=loss&x=depth", SURFACE % ".plot-heat", ["loss by depth", *OF_TWO], True),
    ("/results?metric=loss&x=opt", "document.querySelector('.plot-metric rect.box') !== null",
     ["loss by opt", *OF_TWO], False),
    ("/results?metric=loss&x=lr&draw=dependence", "document.querySelector('.plot-metric .mean') !== null",
     ["loss by lr", *OF_TWO], False),
    ("/curves?metric=course", SURFACE % ".plot-curves", ["course"], True),
    ("/history?metric=loss", SURFACE % ".plot-best", ["Best so far: loss"], True),
    ("/history?view=workers", SURFACE % ".plot-timeline", ["Timeline of workers"], False),
    ("/compare?ids=1,2,3", "document.querySelectorAll('main .surface').length === 2", ["course", "f1"], True),
    ("/workers?worker=" + WORKER, "document.querySelectorAll('aside .spark').length === 2",
     ["CPU12.5 %", "Memory20 %"], False),
    ("/failures", "document.querySelector('main h1') !== null", [], False),
    ("/settings", "document.querySelectorAll('main input').length > 5", [], False),
]


def sweep(dashboard: Dashboard) -> None:
    """Jobs with results and reports, some that ended two hours ago, and a worker with figures of minutes."""
    dashboard.create_jobs([{"lr": 10.0 ** -(at % 4), "opt": "adam" if at % 2 else "sgd", "depth": at % 5}
                           for at in range(24)])
    for at in range(24):
        job = dashboard.claim(WORKER)
        dashboard.upload(job["job_id"], "result.json", json.dumps({"loss": 3 - at % 4 + at / 100}).encode())
        dashboard.call("/worker/report", {"job_id": job["job_id"], "attempt": 1, "first": 0, "reports": [
            [step, {"step": step, "course": (at + 1) / (step + 1), "f1": step / 9}] for step in range(4)]})
        dashboard.finish(job["job_id"])
    now = time.time()
    with closing(sqlite3.connect(str(next(dashboard.workspace.glob("*/meta/jobs.db"))))) as db, db:
        db.execute("INSERT INTO completions (unit, start, host, verdict, n)"
                   " VALUES ('hour', ?, '', 'done', 7)", (int(now) // 3600 * 3600 - 7200,))
        # Under numbers that no minute near this one has.
        db.executemany("INSERT INTO worker_metrics (worker_id, place, timestamp, metrics)"
                       " VALUES (?, ?, ?, ?)",
                       [(WORKER, -at, now - 60 * at, '{"cpu_util": %d, "ram_util": 20}' % (50 + at))
                        for at in range(1, 4)])


def test_each_has_the_keyboard_and_a_table(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    for path, ready, titles, follows in PAGES:
        browser.go(dashboard.page + path)
        browser.wait(ready)
        assert browser.run(FOUND) == [[title, 1] for title in titles], path
        for at, title in enumerate(titles):
            assert browser.run(TABLE, at) != 0, (path, title)
            browser.run(FOCUS, at)
            told = set()
            for key in (LEFT, LEFT, RIGHT):  # some begin at one end, where they stop
                browser.keys(key)
                tip, heard, outline, focused = browser.run(TOLD, at)
                assert tip and tip == heard, (path, title, tip, heard)
                assert (outline, focused) == ("solid", True), (path, title)
                told.add(tip)
            assert len(told) > 1, (path, title, told)
        if not titles:
            continue
        browser.run(FOCUS, 0)
        browser.keys(LEFT + ENTER)
        if follows:
            browser.wait("location.pathname + location.search !== arguments[0]", path)
        else:
            assert browser.path == path
    pages = browser.run("return [...document.querySelectorAll('.nav a')].map((one) => one.pathname)")
    assert set(pages) <= {path.partition("?")[0] for path, _, _, _ in PAGES}


def test_a_plot_is_drawn_once_when_its_table_is_left(browser: Browser, dashboard: Dashboard) -> None:
    """Drawn once more a moment later it took away what somebody was told of it meanwhile."""
    sweep(dashboard)
    browser.go(dashboard.page + "/results?metric=loss&x=depth")
    browser.wait(SURFACE % ".plot-heat")
    assert [browser.run(DRAWN, at) for at in range(3)] == [[1, 1]] * 3


def test_what_is_told_stays_told_when_plots_are_drawn_anew(browser: Browser, dashboard: Dashboard) -> None:
    """As when results come or day becomes night: the same mark to the keyboard, what a pointer rests on."""
    sweep(dashboard)
    for path, ready, titles, _ in PAGES:
        if path in OTHERS:
            continue
        browser.go(dashboard.page + path)
        browser.wait(ready)
        for at, title in enumerate(titles):
            browser.run(FOCUS, at)
            browser.keys(LEFT + LEFT)
            told = browser.run(TOLD, at)[0]
            assert told and browser.run(AGAIN, at) == [True, told], (path, title)
            browser.run("document.activeElement.blur()")
            told = point(browser, at)
            assert browser.run(AGAIN, at) == [True, told], (path, title)


def test_a_bar_stays_told_while_jobs_end(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    dashboard.create_jobs([{"lr": 1.0}, {"lr": 2.0}])
    browser.go(dashboard.page + "/jobs")
    browser.wait("document.querySelector('main .chart') !== null")
    browser.run(FOCUS, 0)
    browser.keys(LEFT + LEFT)
    told = browser.run(TOLD, 0)[0]
    finish_next(browser, dashboard, 32)
    assert told.endswith("done7") and browser.run(TOLD, 0)[0] == told
    browser.run("document.activeElement.blur()")
    assert point(browser, 0).endswith("done25")
    finish_next(browser, dashboard, 33)
    assert browser.run(TOLD, 0)[0].endswith("done26")


def test_the_job_that_is_told_stays_the_same_when_another_comes(browser: Browser,
                                                                dashboard: Dashboard) -> None:
    sweep(dashboard)
    browser.go(dashboard.page + "/results?metric=loss&x=depth")
    browser.wait("document.querySelectorAll('.plot-metric .point').length === 24")
    browser.run(FOCUS, 0)
    browser.keys(LEFT)
    told = browser.run(TOLD, 0)[0]
    dashboard.create_jobs([{"lr": 1.0, "opt": "sgd", "depth": 0}])
    job = dashboard.claim(WORKER)["job_id"]
    dashboard.upload(job, "result.json", b'{"loss": 99}')  # the worst of all is the first point of all
    dashboard.finish(job)
    browser.wait("document.querySelectorAll('.plot-metric .point').length === 25")
    assert told.startswith("Job#") and browser.run(TOLD, 0)[0] == told


def finish_next(browser: Browser, dashboard: Dashboard, done: int) -> None:
    """End a job, until the chart of completions says that so many are done."""
    dashboard.finish(dashboard.claim(WORKER)["job_id"])
    browser.wait("document.querySelector('[aria-label=Completions] .legend').textContent === arguments[0]",
                 "%d done" % done)


def point(browser: Browser, at: int) -> str:
    """Move the mouse over a plot until it tells something; what it tells."""
    left, top, width, height = browser.run(PLACE, at)
    for across in range(1, 40):
        for down in range(1, 6):
            browser.devtools("Input.dispatchMouseEvent", type="mouseMoved",
                             x=left + width * (1 - across / 40), y=top + height * down / 6)
            told = browser.run(TOLD, at)[0]
            if told:
                return str(told)
    raise AssertionError("nothing is told of plot %d" % at)
