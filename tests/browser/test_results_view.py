"""The leaderboard of the Results page, and that a link to the page shows another person the same."""

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.browser.dashboard_support import Dashboard, browser, dashboard, sign_in
from tests.browser.webdriver import Browser, needs_browser
from tests.support import free_env, python, wait_until

__all__ = ["browser", "dashboard"]
pytestmark = [pytest.mark.slow, needs_browser]

SHOWN = """
const texts = (css) => [...document.querySelectorAll(css)].map((one) => one.textContent);
const axes = [...document.querySelectorAll(".plot-parallel [data-axis]")].map((one) => one.dataset.axis);
const log = [...document.querySelectorAll(".plot-parallel [data-axis]")].map((one) => one.textContent);
return JSON.stringify({
  leaders: texts(".plot-leaders td"), heads: texts(".plot-leaders th"), axes, log,
  pressed: texts("[aria-pressed=true]"), titles: texts(".plot h2"), tally: texts(".plot-status span"),
  checks: [...document.querySelectorAll(".check input:not([aria-label])")].map((one) => one.checked),
  marks: texts(".plot-metric .tick"), cells: texts(".plot-heat .cell-value")});
"""


def give(dashboard: Dashboard) -> None:
    """48 jobs with three metrics; accuracy has ties, one is NaN and one missing."""
    jobs: List[Dict[str, Any]] = [
        {"lr": lr, "opt": opt, "depth": depth, "kept": 1}
        for lr in (0.001, 0.01, 0.1, 1.0) for opt in ("adam", "sgd", "a,b:c\\d") for depth in (1, 2, 3, 4)]
    first = dashboard.create_jobs(jobs)
    for at, job in enumerate(jobs):
        results: Dict[str, Any] = {"loss": round(job["lr"] * 7 % 1 + job["depth"] / 10, 3),
                                   "accuracy": at % 5 / 10, "seconds": 100 - at}
        results.update({3: {"accuracy": float("nan")}}.get(at, {}))
        if at == 7:
            del results["accuracy"]
        dashboard.claim()
        dashboard.upload(first + at, "result.json", json.dumps(results).encode())
        dashboard.finish(first + at)


def column(browser: Browser, at: int) -> List[str]:
    return list(browser.run("return [...document.querySelectorAll('.plot-leaders tbody tr')]"
                            ".map((row) => row.cells[arguments[0]].textContent)", at))


def tick_column(browser: Browser, name: str) -> None:
    browser.click(".leader-tools > button", "Columns")
    browser.run("document.querySelector('.leader-columns [data-name=\"%s\"] input').click()" % name)
    browser.run("document.querySelector('.menu:popover-open').hidePopover()")


def settled(browser: Browser) -> Any:
    """What the page shows, once it shows the same twice."""
    seen: List[Any] = []

    def still() -> Any:
        shown = browser.run(SHOWN)
        seen.append(shown)
        return len(seen) > 3 and seen[-3] == seen[-1] and "rank" not in shown and json.loads(shown)
    for css in (".plot-leaders tbody tr", ".plot-heat rect"):
        browser.wait("document.querySelector(arguments[0]) !== null", css)
    return wait_until(still, message="the page is drawn")


def test_a_link_shows_another_browser_the_same(browser: Browser, dashboard: Dashboard,
                                               tmp_path: Path) -> None:
    give(dashboard)
    browser.go(dashboard.page + "/results")
    browser.wait("location.search === '?metric=loss'")  # short while nothing is chosen
    browser.go(dashboard.page + "/results?metric=loss&x=depth&across=depth&up=opt")
    browser.wait("document.querySelector('.plot-parallel [data-axis]') !== null")
    browser.click(".seg button", "Higher is better")
    browser.click(".check", "Log scale")
    browser.click(".check", "Log x")
    browser.click(".plot-heat .seg button", "best")
    tick_column(browser, "result.accuracy")
    browser.click("th .sort", "accuracy")
    browser.click(".axes > summary")
    browser.click('[aria-label="Hide depth"]')
    browser.click('[aria-label="Later: lr"]')
    browser.run("""const low = document.querySelector('[aria-label="lr, from"]');
        low.value = low.matches("select") ? 1 : 0.01;
        low.dispatchEvent(new Event("change"))""")
    browser.run("""const first = document.querySelector('[aria-label="opt, from"]');
        first.value = [...first.options].findIndex((one) => one.textContent.startsWith("a,b"));
        first.dispatchEvent(new Event("change"))""")
    browser.wait_text("lie in all ranges")
    address, shown = browser.run("return location.href"), settled(browser)
    with Browser(tmp_path / "other") as other:
        sign_in(other, dashboard)
        other.go(dashboard.page + "/results?metric=loss")
        other.click(".seg button", "Lower is better")  # which this one keeps
        other.go(address)
        assert settled(other) == shown
        # Also where the link says nothing of the direction.
        other.click(".seg button", "Higher is better")
        other.go(dashboard.page + "/results?metric=loss")
        other.wait("document.querySelector('.seg [aria-pressed=true]')?.textContent === 'Lower is better'")
        other.go(dashboard.page + "/results?metric=nothing&less=7&log=x&x=%5C&draw=no&xlog=2&across=a&up="
                 "&how=constructor&axes=gone&ranges=lr:a:b,opt:x:y,::,lr&columns=gone,result.,x&sort=loss&top=21")
        other.wait("document.querySelectorAll('.plot-parallel [data-axis]').length === 4")
        assert len(json.loads(other.run(SHOWN))["heads"]) == 8
        assert other.console() == []
        other.go("about:blank")
    choose = """const select = document.querySelector('.choice select');
        select.value = "seconds";
        select.dispatchEvent(new Event("change"))"""
    browser.run(choose)
    browser.wait_text("seconds by depth")
    browser.run("history.back()")
    browser.wait("document.querySelector('.choice select')?.value === 'loss'")
    assert settled(browser) == shown and browser.run("return location.href") == address


def test_the_leaderboard_sorts_ticks_and_saves(browser: Browser, dashboard: Dashboard,
                                               tmp_path: Path) -> None:
    give(dashboard)
    browser.go(dashboard.page + "/results?metric=seconds")
    browser.wait("document.querySelectorAll('.plot-leaders tbody tr').length === 20")
    assert column(browser, 2)[:2] == ["#48", "#47"]
    tick_column(browser, "result.accuracy")
    browser.click("th .sort", "accuracy")  # the better end first; equal ones by the metric, and of one rank
    browser.wait("document.querySelector('.plot-leaders tbody tr')?.cells[2].textContent === '#45'")
    assert column(browser, 1)[:11] == ["1"] * 9 + ["10"] * 2
    assert column(browser, 2)[:3] == ["#45", "#40", "#35"]
    browser.click("th .sort", "accuracy")
    browser.wait("document.querySelector('.plot-leaders tbody tr')?.cells[2].textContent === '#46'")
    assert browser.run("return new URLSearchParams(location.search).get('sort')") == "result.accuracy"
    browser.click("button", "Show 48")
    browser.wait("document.querySelectorAll('.plot-leaders tbody tr').length === 48")
    assert column(browser, 1)[-2:] == ["–", "–"]  # NaN, and without one
    assert sorted(column(browser, 2)[-2:]) == ["#4", "#8"]
    browser.click("th .sort", "accuracy")  # by the metric again
    browser.wait("document.querySelector('.plot-leaders tbody tr')?.cells[2].textContent === '#48'")
    browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.click(".leader-tools button", "CSV")
    (path,) = wait_until(lambda: list(tmp_path.glob("*-leaderboard.csv")), message="the CSV is there")
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [line["id"] for line in lines] == [str(at) for at in range(48, 0, -1)]
    assert [line["accuracy"] for line in lines if line["id"] in ("4", "8")] == ["", "NaN"]
    assert lines[0]["opt"] == "a,b:c\\d" and lines[0]["seconds"] == "53" and lines[0]["rank"] == "1"
    for job in (48, 3):
        browser.click('[aria-label="Tick job %d"]' % job)
    browser.click(".leader-tools button", "Compare")
    browser.wait("location.pathname === '/compare'")
    assert browser.run("return location.search") == "?ids=48,3"


def test_the_code_for_a_notebook_gives_what_is_shown(browser: Browser, dashboard: Dashboard,
                                                     tmp_path: Path) -> None:
    give(dashboard)
    for query in ("metric=seconds&columns=result.accuracy,param.opt,param.depth",
                  "metric=loss&filter=depth>1&sort=-result.accuracy&columns=result.accuracy,param.opt&top=100",
                  "metric=loss&less=0&sort=-param.opt&columns=param.opt"):
        browser.go(dashboard.page + "/results?" + query)
        browser.wait("document.querySelector('.plot-leaders tbody tr') !== null")
        shown = [[job.replace("#", ""), cell] for job, cell in zip(column(browser, 2), column(browser, 4))]
        browser.click(".leader-tools button", "Notebook")
        code = browser.run("return document.getElementById('notebook-code').textContent")
        assert code.rstrip().endswith("table  # or pandas.DataFrame(table)")
        name = list(browser.run("return [...document.querySelectorAll('.plot-leaders th .sort')]"
                                ".map((one) => one.textContent)"))[1]
        tail = "\nimport json\nprint(json.dumps([[row['id'], row[%r]] for row in table]))" % name
        said = subprocess.run(python("-c", code + tail), stdout=subprocess.PIPE, check=True, timeout=60,
                              env=free_env(tmp_path, JD_SERVER=dashboard.url))
        told = [[str(job), "–" if one is None else str(one)] for job, one in json.loads(said.stdout)]
        # Cells are as JSON has them, but for zeros at the end.
        assert told == [[job, {"0": "0.0", "NaN": "nan"}.get(cell, cell)] for job, cell in shown], query


def form(browser: Browser) -> List[List[str]]:
    """The rows of the form for new jobs: name, kind, values, ends."""
    browser.wait("document.querySelector('dialog .grid-row') !== null")
    return list(browser.run("""return [...document.querySelectorAll("dialog .grid-row")].map((row) =>
        [...row.querySelectorAll("input, select, textarea")].filter((one) => one.checkVisibility())
            .map((one) => one.value))"""))


def test_new_jobs_around_a_row_a_cell_and_a_range(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard)
    browser.go(dashboard.page + "/results?metric=loss&across=lr&up=opt")
    browser.click('[aria-label="Job 21: what to do"]')
    browser.click("[role=menuitem]", "New jobs around here")
    assert form(browser) == [["lr", "0.001, 0.003162, 0.01, 0.03162, 0.1"], ["opt", '"a,b:c\\\\d"'],
                             ["depth", "1, 2"], ["kept", "1"]]
    assert browser.path == "/jobs"
    browser.click("dialog .seg button", "Samples")
    assert form(browser)[0] == ["lr", "log", "0.001", "0.1"]
    browser.wait("document.querySelector('dialog .foot .primary')?.textContent === 'Create 64 jobs'")
    browser.click("dialog .foot .primary")
    browser.wait_text("64 jobs are made: 49 to 112.")
    browser.go(dashboard.page + "/results?metric=loss&across=lr&up=opt")
    browser.click(".plot-heat .seg button", "makes new jobs there")
    browser.wait("document.querySelector('.plot-heat .cell-value') !== null")
    browser.run("document.querySelector('.plot-heat .surface').focus()")
    browser.keys("\ue014\ue007")
    assert [row[:2] for row in form(browser)][1] == ["opt", '"a,b:c\\\\d"']
    browser.go(dashboard.page + "/results?metric=loss&ranges=lr:0.01:0.1,opt:adam:sgd")
    browser.click(".plot-status button", "New jobs around here")
    rows = form(browser)
    assert rows[0] == ["lr", "0.01, 0.01778, 0.03162, 0.05623, 0.1"]
    assert sorted(rows[1][1].split(", ")) == ["adam", "sgd"]
    assert rows[2:] == [["depth", "1, 2, 3, 4"], ["kept", "1"]]
    browser.run("history.back()")
    browser.wait("location.search.includes('ranges=lr')")


def test_a_click_on_a_parameter_shows_its_partial_dependence(browser: Browser,
                                                             dashboard: Dashboard) -> None:
    give(dashboard)
    browser.go(dashboard.page + "/results?metric=seconds")
    browser.wait("document.querySelector('.shares tbody tr td:last-child')?.textContent.endsWith('%')")
    shares = browser.run("return [...document.querySelectorAll('.shares tbody tr')].map((row) =>"
                         " [...row.cells].map((cell) => cell.textContent).filter(Boolean))")
    assert shares[0][0] == "lr" and len(shares[0]) == 3
    browser.click(".shares .plain", "lr")
    browser.wait("document.querySelectorAll('.plot-metric circle.mean').length === 4")
    assert browser.path == "/results?metric=seconds&x=lr&draw=dependence"
    browser.run("document.querySelector('.plot-metric .surface').focus()")
    browser.keys("\ue014")
    browser.wait("document.querySelector('.plot-metric .tip:not([hidden])')?.textContent"
                 ".includes('lr = 0.001')")
    browser.click(".plot-metric button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-metric tbody tr').length === 4")
    browser.go(dashboard.page + "/results?metric=seconds&x=opt&draw=dependence&filter=id<13")
    browser.wait_text("12 jobs are too few: nothing can be said.")
    browser.wait_text("Nothing can be said: a forest foretells nothing of these jobs.")


def test_the_best_run_and_its_file_are_three_clicks_away(browser: Browser, dashboard: Dashboard,
                                                         tmp_path: Path) -> None:
    give(dashboard)
    browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.go(dashboard.page + "/jobs")
    browser.click(".nav a", "Results")
    browser.click(".plot-leaders tbody a", "#45")
    browser.click("a", "Download")
    wait_until(lambda: list(tmp_path.glob("result*.json")), message="the file is there")


def test_the_leaderboard_waits_for_nothing_else(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard)
    browser.go(dashboard.page + "/jobs")
    browser.run("""const real = window.fetch;
        window.boards = 0;
        window.fetch = async (url, ...more) => {
          if (url.includes("/results/columns?")) await new Promise((go) => { window.release = go; });
          if (url.includes("/results/leaders?")) window.boards += 1;
          return real(url, ...more);
        };""")
    browser.click(".nav a", "Results")
    browser.wait("window.release && document.querySelectorAll('.plot-leaders tbody tr').length === 20")
    heads = "return [...document.querySelectorAll('.plot-leaders th .sort')].map((one) => one.textContent)"
    assert browser.run(heads) == ["loss", "lr", "opt", "depth"]  # in their order; `kept` does not vary
    best = column(browser, 2)
    assert browser.run("return document.querySelector('.plot-heat') === null")
    browser.run("window.release()")
    browser.wait("document.querySelector('.plot-heat rect') !== null")
    assert browser.run(heads) == ["loss", "lr", "depth", "opt"]  # as they matter
    assert column(browser, 2) == best and browser.run("return window.boards") == 1


def test_the_leaderboard_follows_columns_other_than_the_metric(browser: Browser,
                                                               dashboard: Dashboard) -> None:
    give(dashboard)
    job = dashboard.create_jobs([{"lr": 5, "opt": "adam", "depth": 1, "kept": 1}])
    dashboard.claim()
    dashboard.upload(job, "result.json", b'{"loss": 0.001, "seconds": 6.25}')
    browser.go(dashboard.page + "/results?metric=loss&columns=result.seconds")
    browser.wait("document.querySelector('.plot-leaders tbody tr')?.cells[4].textContent === '6.25'")
    dashboard.upload(job, "result.json", b'{"loss": 0.001, "seconds": 7.5}')
    browser.wait("document.querySelector('.plot-leaders tbody tr')?.cells[4].textContent === '7.5'")


def test_a_link_of_before_names_the_upright_parameter_by_down(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard)
    chosen = "document.querySelectorAll('.plot-heat select')[1]"
    browser.go(dashboard.page + "/results?metric=loss&across=lr&down=depth")
    browser.wait("document.querySelector('.plot-heat rect') !== null && %s.value === 'depth'" % chosen)
    browser.run("const up = %s; up.value = 'opt'; up.dispatchEvent(new Event('change'))" % chosen)
    browser.wait("location.search === '?metric=loss&across=lr&up=opt'")
