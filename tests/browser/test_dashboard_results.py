"""The Results page in Chromium, against `jd_server`."""

import json
from typing import Any, Dict, Iterator, List, Tuple
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from jd.net.multipart import encode_upload
from jd.protocol import UPLOAD
from tests.browser.dashboard_support import EVIL, PHONE, Dashboard, browser, dashboard, no_sideways_scrolling
from tests.browser.webdriver import ENTER, Browser, needs_browser

__all__ = ["browser", "dashboard"]
pytestmark = [pytest.mark.slow, needs_browser]

ARROW_RIGHT = "\ue014"
Given = Tuple[Dict[str, Any], Dict[str, Any]]  # parameters and results of a job


def upload(dashboard: Dashboard, job_id: int, results: Dict[str, Any]) -> None:
    content = json.dumps(results).encode()
    frame = encode_upload({"job_id": str(job_id)}, "file", "result.json", len(content))
    request = Request(dashboard.url + UPLOAD, frame.prefix + content + frame.suffix,
                      {"Content-Type": frame.content_type})
    build_opener(ProxyHandler({})).open(request, timeout=60).close()


def give(dashboard: Dashboard, jobs: List[Given]) -> None:
    """Make jobs of (parameters, results) and run them."""
    first = dashboard.create_jobs([parameters for parameters, _ in jobs])
    for at, (_, results) in enumerate(jobs):
        assert dashboard.claim()["job_id"] == first + at
        upload(dashboard, first + at, results)
        dashboard.finish(first + at)


def grid() -> List[Given]:
    """36 jobs: less lr is better, adam a little, the seed does nothing."""
    return [({"lr": lr, "opt": opt, "seed": seed, "kept": "same"},
             {"loss": lr + (0.01 if opt == "sgd" else 0) + seed * 1e-6, "seconds": 10 * seed + lr})
            for lr in (0.1, 0.2, 0.3, 0.4) for opt in ("adam", "sgd", EVIL) for seed in (1, 2, 3)]


def numbers(browser: Browser, expression: str) -> Any:
    """What an expression with the functions of numbers.js gives."""
    return browser.run("return import('/static/results/statistics.js').then((n) => { return %s; })" % expression)


def leaders(browser: Browser) -> List[str]:
    return list(browser.run("return [...document.querySelectorAll('.plot-leaders tbody tr')]"
                            ".map((row) => row.cells[1].textContent)"))


@pytest.mark.parametrize("expression, found", [
    ("n.quantile([1, 2, 3, 4], 0.5)", 2.5),
    ("n.quantile([], 0.5) === n.quantile([], 0.5)", False),
    ("n.five([4, 1, 3, 2, 100])", {"n": 5, "min": 1, "max": 100, "q1": 2, "median": 3, "q3": 4, "low": 1,
                                   "high": 4}),
    ("n.column('a', ['1', 2, null]).kind", "number"),
    ("n.column('a', ['1', 'auto', 2]).distinct", ["1", "2", "auto"]),
    ("n.column('a', [true, false]).distinct", ["false", "true"]),
    ("n.column('a', [[1, 2], {b: 1}]).distinct", ['[1,2]', '{"b":1}']),
    ("n.column('a', [5, 5, null]).kind", "constant"),
    ("['val_loss', 'rmse', 'test/perplexity', 'runtime', 'accuracy', 'r2', 'score'].map(n.lessIsBetter)",
     [True, True, True, True, False, False, False]),
    ("n.wantsLog([0.00001, 0.001, 0.1, 1])", True),
    ("n.wantsLog([16, 32, 64, 128])", True),
    ("n.wantsLog([0, 0.001, 1])", False),
    ("n.wantsLog([1, 2, 3, 4])", False),
    ("n.metricWantsLog([0.004, 0.5, 0.8, 0.9])", False),
    ("n.metricWantsLog([0.1, 0.2, 0.3, 500])", True),
    ("n.numberAxis(1, 1000, true).at(10).toFixed(6)", "0.333333"),
    ("Math.round(n.numberAxis(1, 1000, true).back(2 / 3))", 100),
    ("n.numberAxis(0.01, 100, true).ticks(6)", [0.01, 0.1, 1, 10, 100]),
    ("n.numberAxis(30, 40, true).ticks(3).length > 1", True),
    ("n.numberAxis(5, 5, false).at(5)", 0.5),
    ("n.ranking([3, NaN, 1, 3], true)", [2, 0, 3]),
    ("n.ranking([3, NaN, 1, 3], false)", [0, 3, 2]),
    ("n.evenly([0, 1, 2, 3, 4, 5], 3)", [0, 2, 4]),
    ("n.condition('param.opt', '=', 'a \"b\"')", 'param.opt="a \\"b\\""'),
    ("n.condition('lr', '>=', 0.01)", "lr>=0.01"),
    # A parameter that decides all, one that does nothing, one whose values do not repeat.
    ("n.importance(n.column('a', [1, 2, 1, 2, 1, 2]), [5, 7, 5, 7, 5, 7])",
     {"share": 1, "n": 6, "groups": 2}),
    ("n.importance(n.column('a', [1, 2, 1, 2]), [5, 5, 7, 7]).share", 0),
    ("n.importance(n.column('a', ['x', 'y', 'z']), [1, 2, 3]).share", None),
    # Groups 1, 3 and 2, 4: within 4, all 5, chance 1 * 4 / (4 - 2): nothing is left.
    ("n.importance(n.column('a', ['x', 'y', 'x', 'y']), [1, 2, 3, 4]).share", 0),
    # Groups 0, 1 and 4, 5: all 17, within 1, chance 1 * 1 / 2: (17 - 1 - 0.5) / 17.
    ("n.importance(n.column('a', ['x', 'x', 'y', 'y']), [0, 1, 4, 5]).share.toFixed(6)", "0.911765"),
    # 200 different numbers fall into ten bins; noise over them explains nothing.
    ("n.importance(n.column('a', [...Array(200).keys()]), [...Array(200).keys()].map((i) => i % 2))",
     {"share": 0, "n": 200, "groups": 10}),
    ("n.importance(n.column('a', [...Array(200).keys()]), [...Array(200).keys()]).share > 0.98", True),
    ("((c) => n.bins(c, n.axisOf(c), 4).list.map((bin) => bin.low))(n.column('a', [...Array(100).keys()]))",
     [0, 24.75, 49.5, 74.25]),
    ("n.trend([1, 2, 3, 4], [1, 2, 3, 5], 2).map((bin) => bin.median)", [1.5, 4]),
])
def test_numbers(browser: Browser, shell: Dashboard, expression: str, found: object) -> None:
    assert numbers(browser, expression) == found


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Dashboard]:
    """A page that may import the modules: static files need no session."""
    with Dashboard(tmp_path_factory.mktemp("numbers")) as started:
        browser.go(started.page + "/signin")
        yield started
        browser.go("about:blank")
        started.stop()


def test_goodness_is_one_for_the_best_whichever_way(browser: Browser, shell: Dashboard) -> None:
    answer = {"metric": "m", "total": 4, "shown": 4, "ids": [1, 2, 3, 4], "values": [1, 2, 3, None],
              "parameters": {"a": [1, 2, 3, 4], "b": [0, 0, 0, 1]}, "results": {}}
    found = browser.run("""
        const look = (n, less) => {
            const data = n.dataOf(arguments[0], less);
            return [[...data.goodness], data.byGoodness, data.columns.map((column) => column.name), data.ids];
        };
        return import('/static/results/statistics.js').then((n) => [look(n, true), look(n, false)])""", answer)
    assert found == [[[1, 0.5, 0], [0, 1, 2], ["a"], [1, 2, 3]], [[0, 0.5, 1], [2, 1, 0], ["a"], [1, 2, 3]]]


def test_many_points_are_painted_and_can_be_pointed_at(browser: Browser, shell: Dashboard) -> None:
    found = browser.run("""
      const load = (name) => import('/static/results/' + name + '.js');
      return Promise.all([load('numbers'), load('scatter')]).then(([n, s]) => {
        const size = 5000, ids = [...Array(size).keys()], values = ids.map((i) => (i * 7919) % size);
        const answer = {metric: 'm', total: size, shown: size, ids, values};
        const data = n.dataOf({...answer, parameters: {a: ids}, results: {}}, true);
        const box = document.createElement('div');
        document.body.append(box);
        let opened = null;
        s.scatter(box, 800, data, data.columns[0], {open: (id) => { opened = id; }});
        const canvas = box.querySelector('canvas'), {width, height} = canvas;
        const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
        const surface = box.querySelector('.surface');
        surface.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
        surface.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
        surface.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}));
        const painted = pixels.some((part) => part > 0);
        const circles = box.querySelectorAll('circle.point').length;
        box.remove();
        return [painted, circles, opened];
      })""")
    assert found == [True, 0, 1]


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
    browser.wait("document.querySelector('.plot-leaders tbody a').textContent !== '#1'")
    browser.go(dashboard.page + "/results?metric=loss")  # the direction is kept for the metric
    browser.wait("document.querySelector('.plot-leaders tbody a')?.textContent === '#33'")
    browser.click(".seg button", "Lower is better")
    browser.wait("document.querySelector('.plot-leaders tbody a').textContent === '#1'")
    browser.run("document.querySelector('.plot-metric .surface').focus()")
    browser.keys(ARROW_RIGHT)
    browser.wait("document.querySelector('.plot-metric .tip:not([hidden])')?.textContent.includes('Job #')")
    browser.keys(ENTER)
    browser.wait("/^.jobs.[0-9]+$/.test(location.pathname)")


def test_boxes_table_and_hostile_names(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid() + [({"lr": 0.5, "note": EVIL + str(at)}, {"loss": at, EVIL: at})
                              for at in range(2)])
    browser.go(dashboard.page + "/results?metric=loss&x=opt&across=lr&down=opt&how=best")
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
    browser.go(dashboard.page + "/results?metric=loss&across=lr&down=seed")
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


def test_the_first_result_arrives_while_somebody_looks(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/results")
    browser.wait_text("No results yet")
    assert "jd_upload" in browser.run("return document.querySelector('.results-example').textContent")
    give(dashboard, [({"lr": 0.1}, {"accuracy": 0.5})])
    browser.wait_text("1 job with accuracy")
    pressed = browser.run("return document.querySelector('[aria-pressed=true]').textContent")
    assert pressed == "Higher is better"


def test_on_a_phone_and_in_both_themes(browser: Browser, dashboard: Dashboard) -> None:
    give(dashboard, grid())
    browser.size(*PHONE)
    browser.go(dashboard.page + "/results?metric=loss")
    browser.wait("document.querySelector('.plot-parallel canvas') !== null")
    assert no_sideways_scrolling(browser)
    light = browser.run("return document.querySelector('circle.point').getAttribute('fill')")
    browser.run("return import('/static/app.js').then((app) => app.setTheme('dark'))")
    browser.wait("document.querySelector('circle.point')?.getAttribute('fill') !== arguments[0]", light)
    browser.run("return import('/static/app.js').then((app) => app.setTheme(''))")
