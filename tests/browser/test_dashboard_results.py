"""The Results page in Chromium, against `jd_server`."""

import json
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from tests.browser.dashboard_support import EVIL, PHONE, Dashboard, browser, dashboard, no_sideways_scrolling
from tests.browser.webdriver import ENTER, Browser, needs_browser
from tests.support import wait_until

__all__ = ["browser", "dashboard"]
pytestmark = [pytest.mark.slow, needs_browser]

ARROW_RIGHT = "\ue014"
Given = Tuple[Dict[str, Any], Dict[str, Any]]  # parameters and results of a job


def give(dashboard: Dashboard, jobs: List[Given]) -> None:
    """Make jobs of (parameters, results) and run them."""
    first = dashboard.create_jobs([parameters for parameters, _ in jobs])
    for at, (_, results) in enumerate(jobs):
        assert dashboard.claim()["job_id"] == first + at
        dashboard.upload(first + at, "result.json", json.dumps(results).encode())
        dashboard.finish(first + at)


def grid() -> List[Given]:
    """36 jobs: less lr is better, adam a little, the seed does nothing."""
    return [({"lr": lr, "opt": opt, "seed": seed, "kept": "same"},
             {"loss": lr + (0.01 if opt == "sgd" else 0) + seed * 1e-6, "seconds": 10 * seed + lr})
            for lr in (0.1, 0.2, 0.3, 0.4) for opt in ("adam", "sgd", EVIL) for seed in (1, 2, 3)]


def leaders(browser: Browser) -> List[str]:
    browser.wait("document.querySelector('.plot-leaders tbody tr') !== null")
    return cells(browser, 2)


def cells(browser: Browser, at: int) -> List[str]:
    """A column of the leaderboard."""
    return list(browser.run("return [...document.querySelectorAll('.plot-leaders tbody tr')]"
                            ".map((row) => row.cells[arguments[0]].textContent)", at))


def test_the_page_from_the_best_job_to_its_page(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid())
    browser.go(dashboard.page + "/results?metric=loss")
    browser.wait_text("36 jobs with loss")
    assert leaders(browser)[:3] == ["#1", "#7", "#2"] and len(leaders(browser)) == 20
    pressed = browser.run("return document.querySelector('[aria-pressed=true]').textContent")
    assert pressed == "Lower is better"
    shares = browser.run("return [...document.querySelectorAll('.shares tbody tr')].map((row) => "
                         "[row.cells[0].textContent, row.cells[2].textContent])")
    assert shares[0][0] == "lr" and int(shares[0][1].split()[0]) > 90
    assert dict(shares)["seed"] == "0 %"
    assert "kept" not in dict(shares)  # it does not vary
    browser.wait("document.querySelectorAll('.plot-metric circle.point').length === 36")
    browser.click(".seg button", "Higher is better")
    browser.wait("document.querySelector('.plot-leaders tbody a')?.textContent !== '#1'")
    browser.go(dashboard.page + "/results")  # the direction is kept for the metric
    browser.wait("document.querySelector('.choice select') !== null")
    browser.run("""const select = document.querySelector('.choice select');
        select.value = "loss";
        select.dispatchEvent(new Event("change"))""")
    browser.wait("document.querySelector('.plot-leaders tbody a')?.textContent === '#33'")
    browser.click(".seg button", "Lower is better")
    browser.wait("document.querySelector('.plot-leaders tbody a')?.textContent === '#1'")
    browser.run("document.querySelector('.plot-metric .surface').focus()")
    browser.keys(ARROW_RIGHT)
    browser.wait("document.querySelector('.plot-metric .tip:not([hidden])')?.textContent.includes('Job #')")
    browser.keys(ENTER)
    browser.wait("location.pathname.startsWith('/jobs/')")
    assert int(browser.path.rpartition("/")[2]) in range(1, 37)


def test_boxes_table_and_hostile_names(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid() + [({"lr": 0.5, "note": EVIL + str(at)}, {"loss": at, EVIL: at})
                              for at in range(2)])
    browser.go(dashboard.page + "/results?metric=loss&x=opt&across=lr&up=opt&how=best")
    browser.wait("document.querySelectorAll('.plot-metric rect.box').length === 3")
    browser.wait("document.querySelector('.plot-heat rect.cell-empty') !== null")
    browser.click(".plot-metric button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-metric tbody tr').length === 4")
    browser.click(".plot-parallel button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-parallel .sheet tbody tr').length === 38")
    assert browser.run("return document.title") != "owned"
    assert browser.run("return document.querySelectorAll('main img:not(.empty img)').length") == 0


def test_a_cell_leads_to_its_jobs(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid())
    browser.go(dashboard.page + "/results?metric=loss&across=lr&up=seed")
    browser.wait("document.querySelector('.plot-heat .cell-value') !== null")
    browser.run("document.querySelector('.plot-heat .surface').focus()")
    browser.keys(ARROW_RIGHT + ENTER)
    browser.wait("location.pathname === '/jobs'")
    shown = browser.run("return new URLSearchParams(location.search).get('filter')")
    assert shown == "param.lr=0.1 param.seed=1"


def test_ranges_by_hand_and_by_keyboard(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid())
    browser.go(dashboard.page + "/results?metric=loss")
    browser.wait("document.querySelector('.plot-parallel [data-axis=lr] .grab') !== null")
    browser.run("document.querySelector('.plot-parallel')"
                ".scrollIntoView({block: 'center', behavior: 'instant'})")
    place = browser.run("""
        const edge = document.querySelector('[data-axis=lr] .grab').getBoundingClientRect();
        return [edge.left + edge.width / 2, edge.bottom - 8, edge.bottom - edge.height * 0.4]""")
    drag(browser, (place[0], place[1]), (place[0], place[2]))
    browser.wait_text("18 of 36 jobs lie in all ranges · best #1")
    browser.click("summary")
    browser.run("""const select = document.querySelector('select[aria-label="opt, to"]');
        select.value = [...select.options].findIndex((one) => one.textContent === 'adam');
        select.dispatchEvent(new Event('change'))""")
    browser.wait_text("12 of 36 jobs lie in all ranges")
    browser.click("button", "Show these jobs")
    browser.wait("location.pathname === '/jobs'")
    assert "param.lr=" in browser.run("return new URLSearchParams(location.search).get('filter')")


def drag(browser: Browser, start: Tuple[int, int], end: Tuple[int, int]) -> None:
    for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        browser.devtools("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                         clickCount=1)


def test_of_many_jobs_points_are_a_sample_and_the_rest_is_of_all(browser: Browser,
                                                                 dashboard: Dashboard) -> None:
    give(dashboard, [({"lr": at % 3 / 10, "opt": ["adam", "sgd"][at % 2]}, {"loss": at}) for at in range(60)])
    browser.run("""const real = window.fetch;  // thousands of jobs would take long to make
        window.fetch = (url, ...more) => real(url.replace("/columns?", "/columns?limit=10&"), ...more);""")
    browser.click(".nav a", "Results")
    browser.wait_text("60 jobs with loss. Points and lines are ")
    browser.wait_text("n = 10 of 60, a sample")
    browser.wait_text("lowest 20 of 60")
    assert leaders(browser)[:3] == ["#1", "#2", "#3"]
    browser.wait("/^4\\d sampled jobs$/.test(document.querySelector('.plot-status span').textContent)")
    browser.click(".plot-heat button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-heat tbody tr').length === 6")
    counted = browser.run("return [...document.querySelectorAll('.plot-heat tbody tr')]"
                          ".map((row) => [...row.cells].slice(2).map((cell) => cell.textContent))")
    assert sorted(counted) == [[str(mean), "10"] for mean in range(27, 33)]
    browser.click(".seg button", "Higher is better")
    browser.wait("document.querySelector('.plot-leaders tbody a')?.textContent === '#60'")
    assert leaders(browser)[:3] == ["#60", "#59", "#58"] and len(leaders(browser)) == 20


def test_a_filter_and_what_is_wrong_with_one(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid())
    browser.go(dashboard.page + "/results?metric=loss")
    browser.wait_text("36 jobs with loss")
    browser.type("input[type=search]", "opt=adam")
    browser.wait_text("12 jobs with loss")
    assert "filter=opt" in browser.path
    browser.type("input[type=search]", "nothing=1")
    browser.wait("document.querySelector('.say.bad').textContent.includes('nothing')")
    browser.type("input[type=search]", "lr>5")
    browser.wait_text("No job to show")
    browser.click("button", "Clear the filter")
    browser.wait_text("36 jobs with loss")
    assert browser.path == "/results?metric=loss"


def test_the_archive_has_the_jobs_of_the_filter(browser: Browser, dashboard: Dashboard,
                                                tmp_path: Path) -> None:
    give(dashboard, [({"lr": 0.1}, {"loss": 1}), ({"lr": 0.2}, {"loss": 2})])
    browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.go(dashboard.page + "/results?metric=loss&filter=lr%3C0.15")
    browser.wait_text("1 job with loss")
    browser.click("a.button", "Archive")
    (path,) = wait_until(lambda: list(tmp_path.glob("*.zip")), message="the archive is there")
    with zipfile.ZipFile(str(path)) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    assert "1/result.json" in names and "1/params.json" in names and "jobs.csv" in names
    assert not [name for name in names if name.startswith("2/")]


def test_the_first_result_arrives_while_somebody_looks(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/results")
    browser.wait_text("No results yet")
    assert "jd_job_dir" in browser.run("return document.querySelector('.examples').textContent")
    give(dashboard, [({"lr": 0.1}, {"accuracy": 0.5})])
    browser.wait_text("1 job with accuracy")
    pressed = browser.run("return document.querySelector('[aria-pressed=true]').textContent")
    assert pressed == "Higher is better"


def test_a_grid_has_a_column_for_each_value_at_any_width(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, [({"lr": lr, "opt": opt}, {"loss": lr * 7 % 1})
                     for lr in (1e-5, 2e-5, 1e-4, 2e-4, 1e-3, 2e-3, 0.01, 0.02, 0.1, 0.2)
                     for opt in ("adam", "lion", "sgd")])
    for width in (390, 1280, 1440):
        browser.size(width, 900)
        browser.go(dashboard.page + "/results?metric=loss&across=lr&up=opt")
        browser.wait("document.querySelectorAll('.plot-heat .surface > rect:not(.cell-frame)').length === 30")
        assert browser.run("return document.querySelectorAll('.plot-heat .cell-empty').length") == 0
    browser.click(".plot-heat button", "Show as table")
    browser.wait("document.querySelectorAll('.plot-heat tbody tr').length === 30")


LONG = "model.encoder.transformer.attention."
# Of what a selector finds: texts that lie in part outside of the window, or have no place at all.
CUT_OFF = """return [...document.querySelectorAll(arguments[0])].filter((one) => {
  const {left, right, width} = one.getBoundingClientRect();
  return !(width > 0 && left >= 0 && right <= innerWidth + 0.5);
}).map((one) => one.textContent)"""


@pytest.mark.parametrize("size", [(390, 844), (1280, 900), (1440, 900)])
def test_long_names_leave_room_for_values(browser: Browser, dashboard: Dashboard,
                                          size: Tuple[int, int]) -> None:
    optimizers = ["adamw_with_decoupled_weight_decay", "sgd_with_nesterov_momentum"]
    give(dashboard, [({LONG + "dropout_rate": at % 3 / 10, LONG + "learning_rate": at / 100,
                       LONG + "optimizer": optimizers[at % 2]},
                      {"validation.multilabel_classification.mean_precision": at}) for at in range(6)])
    browser.size(*size)
    browser.go(dashboard.page + "/results")
    browser.wait("document.querySelector('.plot-heat .cell-value') && document.querySelector('.shares td')")
    assert no_sideways_scrolling(browser)
    texts = ".plot-heat text, .plot-metric text, .shares .num, .results-say span, .results-controls select"
    assert browser.run(CUT_OFF, texts) == []
    # Names that begin alike are told apart by their ends, wherever they are cut.
    for names in (".plot-leaders th .sort", ".upright .title", ".choice select option"):
        browser.wait("document.querySelector(arguments[0]) !== null", names)
        shown = browser.run("return [...document.querySelectorAll(arguments[0])].map((one) => "
                            "one.firstChild.textContent)", names)
        assert [name for name in shown if name.endswith("_rate")], names
    if size[0] > 1000:
        assert browser.run(CUT_OFF, ".upright .title") == []
    browser.go(dashboard.page + "/jobs")
    browser.wait("document.querySelectorAll('tbody tr').length === 6")
    assert no_sideways_scrolling(browser)
    if size[0] < 1000:
        assert browser.run(CUT_OFF, "tbody td.param, tbody td.result") == []
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelectorAll('.facts dd').length > 3")
    assert no_sideways_scrolling(browser)
    widths = browser.run("return [...document.querySelectorAll('.facts dd')].map((one) => one.clientWidth)")
    assert min(widths) > 100


def test_twelve_axes_fit_a_usual_window_and_equal_values_show(browser: Browser,
                                                              dashboard: Dashboard) -> None:
    names = ["p%d" % name for name in range(1, 15)]
    give(dashboard, [(dict(dict.fromkeys(names, at % (5 + at % 2)), opt="ab"[at % 2]),
                      {"epochs": 3, "accuracy": at}) for at in range(12)])
    browser.size(1280, 900)
    browser.go(dashboard.page + "/results?metric=accuracy")
    browser.wait("document.querySelectorAll('.upright .title').length === 13")
    assert browser.run("const box = document.querySelector('.plot-parallel .scroll');"
                       "return box.scrollWidth <= box.clientWidth")
    # Where all values agree, a box is not hidden by its own median.
    browser.go(dashboard.page + "/results?metric=epochs&x=opt")
    browser.wait("document.querySelectorAll('.plot-metric .box').length === 2")
    assert browser.run("return [...document.querySelectorAll('.plot-metric .box')].map((one) => "
                       "one.getBBox().width >= 5) + ' ' + document.querySelectorAll('.median').length"
                       ) == "true,true 0"


def test_on_a_phone_and_in_both_themes(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid())
    browser.size(*PHONE)
    browser.go(dashboard.page + "/results?metric=loss")
    browser.wait("document.querySelector('.plot-parallel canvas') !== null")
    assert no_sideways_scrolling(browser)
    light = browser.run("return document.querySelector('circle.point').getAttribute('fill')")
    choose = ("return import(document.querySelector('script[type=module]').src)"
              ".then((app) => app.setTheme(arguments[0]))")
    browser.run(choose, "dark")
    browser.wait("document.querySelector('circle.point')?.getAttribute('fill') !== arguments[0]", light)
    assert browser.run("return document.documentElement.dataset.theme") == "dark"
    browser.run(choose, "")
