"""The dashboard's scripts that need no page of it, in a blank one: a value goes in, a value is expected.

Static files are all that is served: no job server, no clicks. One Chromium serves all cases.
"""

import asyncio
import csv
import io
import json
import random
import threading
from typing import Any, Dict, Iterator, List, Optional

import pytest

from jd import csvcells
from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.server import HttpServer
from jd.server.store.pages.results import metricvalues
from jd.web.files import Files
from tests.browser.webdriver import Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

MODULES = {
    "exactjson": "exactjson.js", "differences": "compare/differences.js", "binfilter": "results/binfilter.js",
    "format": "format.js", "filter": "filter.js", "resultnames": "resultnames.js", "svg": "svg.js",
    "failures": "failures/words.js",
    "terminal": "jobs/terminal.js", "outlook": "jobs/outlook.js", "grid": "jobs/create/grid.js",
    "space": "jobs/create/space.js",
    "statistics": "charts/statistics.js", "columns": "charts/column.js", "axis": "charts/axis.js",
    "variance": "results/importance/variance.js", "data": "results/data.js", "direction": "direction.js",
    "lists": "lists.js", "directions": "compare/directions.js",
    "parallel": "charts/parallel/axes.js", "colours": "charts/colours.js",
    "stairs": "history/stairs.js", "timeaxis": "charts/timeaxis.js",
    "costwords": "history/costwords.js", "spans": "history/spans.js",
    "scatter": "charts/scatter.js", "tally": "results/tally.js",
    "view": "results/view.js", "csv": "results/leaderboard/csv.js",
    "matter": "results/importance/matter.js", "around": "results/around.js",
    "prefill": "jobs/create/prefill.js",
    "series": "charts/series.js", "timed": "charts/timed.js", "range": "charts/range.js",
    "curvepaint": "charts/curvepaint.js", "address": "curves/address.js",
}

# Each module becomes a name of the page; `told` gives what a call returned as JSON can tell it: NaN and its
# like as text, elements as markup, an error as its message.
PREPARE = r"""
const names = Object.keys(arguments[0]);
const plain = (v) => {
  if (v === undefined || (typeof v === "number" && !Number.isFinite(v))) return String(v);
  if (v instanceof Element) return v.outerHTML;
  if (ArrayBuffer.isView(v) || Array.isArray(v)) return [...v].map(plain);
  if (v === null || typeof v !== "object") return v;
  return Object.fromEntries(Object.entries(v).filter(([, one]) => typeof one !== "function")
    .map(([key, one]) => [key, plain(one)]));
};
window.told = (call) => {
  try {
    return plain(call());
  } catch (error) { return "Error: " + error.message; }
};
return Promise.all(names.map((name) => import("/static/" + arguments[0][name]))).then((found) => {
  found.forEach((module, at) => { window[names[at]] = module; });
});
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A blank page, and below /static/ what the dashboard has; its address."""
    files = Files("jd.server")

    async def blank(request: Request) -> Response:
        return files.page(request, b"<!doctype html><title>blank</title>")

    router = Router()
    router.add("GET", "/", blank, public=True)
    router.add("GET", "/static/<path:name>", files.static, public=True)
    server, loop = HttpServer(router), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(60)
        yield "http://127.0.0.1:%d/" % port
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.fixture(scope="module")
def blank(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser on the blank page that has loaded the modules."""
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        browser.go(site)
        browser.run(PREPARE, MODULES)
        yield browser
        assert browser.console() == []
        browser.go("about:blank")


def value(blank: Browser, expression: str, *arguments: Any) -> Any:
    """What an expression gives, in which `given` are the arguments."""
    return blank.run("const given = [...arguments]; return told(() => (%s))" % expression, *arguments)


# ---- jobs beside each other

BESIDE = """differences.rows(exactjson.parse('[{"a": 1, "b": 2, "c": [1]}, {"b": 2.0, "a": 1, "c": [1]}]'))
  .map((row) => [row.name, row.same])"""
BEST_OF = """[[3, 1, 2], [2, 2, 1], [NaN, 4, undefined], [1, 1, 1], ['4', 7, 5], [null, Infinity, 3, 2]]
  .map((values) => [[...differences.best(values, true)], [...differences.best(values, false)]])"""


@pytest.mark.parametrize("expression, expected", [
    # What differs comes first; 1 and 1.0 differ for a script, what a job has not is like nothing it has.
    (BESIDE, [["b", False], ["a", True], ["c", True]]),
    ("differences.rows([{x: null}, {}, {y: 3}]).map((row) => [row.name, row.values, row.same])",
     [["x", [None, "undefined", "undefined"], False], ["y", ["undefined", "undefined", 3], False]]),
    ("differences.rows([{}, {}], ['a']).map((row) => [row.name, row.same])", [["a", True]]),
    ("differences.rows([])", []),
    # The best of those that are numbers; ties share it, and where all are alike none is the best.
    (BEST_OF,
     [[[1], [0]], [[2], [0, 1]], [[], []], [[], []], [[2], [1]], [[3], [2]]]),
    ("['3, 17 #20', '3,3', '', '0', '1.5', 'x', '-1', '99999999999999999999'].map(differences.idsIn)",
     [[3, 17, 20], [3], [], None, None, None, None, None]),
])
def test_jobs_beside_each_other(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


# ---- how things look

@pytest.mark.parametrize("expression, expected", [
    ("[0, 12345, -1234567.5, null, undefined, NaN].map(format.number)",
     ["0", "12,345", "-1,234,567.5", "–", "–", "NaN"]),
    ("[0, 999, 1500, 1234567, 1e9, 2e12, -2500, null].map(format.compact)",
     ["0", "999", "1.5 k", "1.2 M", "1 B", "2 T", "-2.5 k", "–"]),
    ("[0, 0.001, 0.425, 0.999, 1, -0.5, NaN, null].map(format.percent)",
     ["0 %", "< 1 %", "43 %", "99 %", "100 %", "-50 %", "–", "–"]),
    # Numbers keep four digits, or all before the point; what no number is shown as it is.
    ("[0, -0.5, 0.00012345678, 1234.567, 1234567.8, 123456.789, 12, 1e14].map(format.metric)",
     ["0", "-0.5", "0.0001235", "1,234.57", "1,234,568", "123,457", "12", "100,000,000,000,000"]),
    ("[1e-7, -1.2345e-9, 1e15, 1e20, NaN, Infinity].map(format.metric)",
     ["1e-7", "-1.235e-9", "1e+15", "1e+20", "NaN", "Infinity"]),
    ("[null, undefined, 'adam', '', true, [1, 2]].map(format.metric)",
     ["–", "–", "adam", "", "true", "[1,2]"]),
    # Whole numbers beyond 2^53 have all their digits; so has what is shown as it is.
    ("exactjson.parse('[1798406481619217041, -9007199254740993, 1.0, 12.50]').map(format.metric)",
     ["1798406481619217041", "-9007199254740993", "1", "12.5"]),
    ("exactjson.parse('[1798406481619217041, 1.0, 1e-05, [1.0, {\"a\": 0.10}]]').map(format.value)",
     ["1798406481619217041", "1.0", "1e-05", '[1.0,{"a":0.10}]']),
    ("[0, 0.0005, 0.4, 9.94, 9.96, 59.4, 59.6, 60, 185].map(format.duration)",
     ["0 s", "< 1 ms", "400 ms", "9.9 s", "10 s", "59 s", "1 min", "1 min", "3 min 5 s"]),
    ("[3600, 7500, 86399, 86400, 273600, 1e8].map(format.duration)",
     ["1 h", "2 h 5 min", "23 h 59 min", "1 d", "3 d 4 h", "1157 d 9 h"]),
    ("[-5, NaN, Infinity, null, undefined].map(format.duration)", ["-5 s", "–", "–", "–", "–"]),
    ("[0, 512, 999, 999.6, 1500, 15000, 1.5e6, 12e6, 1e18, null].map(format.bytes)",
     ["0 B", "512 B", "999 B", "1.0 kB", "1.5 kB", "15 kB", "1.5 MB", "12 MB", "1000 PB", "–"]),
    ("[undefined, null, '', 'a \"b\"', '日本', 0, false, {a: [1]}].map(format.value)",
     ["–", "null", "", 'a "b"', "日本", "0", "false", '{"a":[1]}']),
    ("[[1, 'job'], [0, 'job'], [2000, 'job'], [2, 'reply', 'replies']].map((one) => format.count(...one))",
     ["1 job", "0 jobs", "2,000 jobs", "2 replies"]),
    ("['short', 'model.encoder.dropout_rate', 'model.encoder.learn_rate'].map((one) => format.cut(one, 20))",
     ["short", "model.en…ropout_rate", "model.en….learn_rate"]),
    ("format.STATUSES.map(format.statusName)", ["pending", "running", "done", "aborted", "deleted"]),
    ("[format.statusName('ODD'), format.statusName(undefined)]", ["ODD", "undefined"]),
    ("[['ABORTED', 0], ['ABORTED', null], ['DONE', 7], ['SERVED']].map((one) => format.jobState(...one))",
     ["retrying", "aborted", "done", "running"]),
    ("format.status('SERVED')", '<span class="status running">running</span>'),
    ("format.status('ABORTED', null)", '<span class="status aborted">aborted</span>'),
    ("format.status('ABORTED', 1579089600)",
     '<span class="status retrying" title="tried again 15 Jan 2020">retrying</span>'),
    ("format.status('DELETED', 1579089600)", '<span class="status deleted">deleted</span>'),
    ("format.status('<b>')", '<span class="status ">&lt;b&gt;</span>'),
    ("[0, null, 1000, 5, -3].map(format.priority)", ["", "", "first", "priority 5", "priority -3"]),
    ("format.when(null)", '<span class="none">–</span>'),
    ("format.when(1579089600).dateTime", "2020-01-15T12:00:00.000Z"),
    ("format.moment(1579089600)", "15 Jan 2020"),
    # The time of day for today, the day for another of this year.
    ("/^\\d\\d:\\d\\d:\\d\\d$/.test(format.moment(Date.now() / 1000))", True),
    ("/^10 (Jan|Feb), 12:00$/.test(format.moment(new Date(%s, %s, 10, 12) / 1000))"
     % ("new Date().getFullYear()", "new Date().getMonth() ? 0 : 1"), True),
])
def test_format(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


RANGE = {"name": "a.b", "is_code": False, "low": 0.12345678, "high": 1000.5, "n": 1200, "failed": 12,
         "others": 86, "others_failed": 3}
PLACES = [{"name": name, "n": n} for name, n in (("node07", 10), ("node08", 4), ("a", 2), ("b", 1))]


INTERRUPTED = ("2 attempts were lost with their workers, 1 attempt was given back by its worker. The script "
               "has not failed by that, so these count in nothing above; the jobs are tried again, and stay "
               "aborted after many interruptions only.")


@pytest.mark.parametrize("expression, expected", [
    ("failures.ending({verdict: 'failed', exit_code: 1})", "exit 1"),
    ("failures.ending({verdict: 'failed', exit_code: null})", "failed"),
    ("failures.ending({verdict: 'killed', exit_code: -11})", "killed by signal 11"),
    ("failures.ending({verdict: 'oom', exit_code: -9})", "out of memory"),
    ("failures.ending({verdict: 'lost', exit_code: null})", "worker lost"),
    ("failures.apartWords(['lost', 'lost', 'preempted'].map((verdict) => ({verdict, attempts: 1})))",
     INTERRUPTED),
    ("failures.pieces('a <n> <b> <path>')", ["a ", "<n>", " <b> ", "<path>", ""]),
    ("failures.where(given[0].slice(0, 1), 1, 14, 'hosts')", "all 14 on node07"),
    ("[1, 2].map((n) => failures.where(given[0].slice(0, 1), 1, n, 'hosts'))",
     ["on node07", "both on node07"]),
    ("failures.where(given[0].slice(0, 2), 2, 14, 'hosts')", "node07 (10), node08 (4)"),
    ("failures.where(given[0], 4, 17, 'hosts')", "node07 (10), node08 (4), a (2) and 1 more host"),
    ("failures.where(given[0], 9, 17, 'hosts')", "node07 (10), node08 (4), a (2) and 6 more hosts"),
    ("failures.what(given[1])", "a.b 0.1235 to 1,000.5"),
    ("failures.what({...given[1], low: 'x', high: 'x'})", "a.b = x"),
    ("failures.what({...given[1], low: true, high: true})", "a.b = true"),
    ("failures.what({name: 'code', is_code: true, low: '3fa9c2d1', high: '3fa9c2d1'})", "code 3fa9c2d1"),
    ("failures.howOften(given[1])", "12 of 1,200 failed so, 3 of 86 others"),
    ("failures.jobsOf('', 3)", "error=E3"),
    ("failures.jobsOf('x=1', 3, given[1])", "x=1 error=E3 param.a.b>=0.12345678 param.a.b<=1000.5"),
    ("failures.jobsOf('', 3, {...given[1], low: 'a b', high: 'a b'})", 'error=E3 param.a.b="a b"'),
    ("failures.jobsOf('', 3, {...given[1], low: 'True', high: 'True'})", 'error=E3 param.a.b="True"'),
    ("failures.jobsOf('', 3, {...given[1], low: false, high: false})", "error=E3 param.a.b=false"),
    ("failures.jobsOf('', 3, {...given[1], low: '[64, 32]', high: '[64, 32]'})",
     'error=E3 param.a.b="[64, 32]"'),
    ("failures.jobsOf('', 3, {name: 'code', is_code: true, low: '3fa9', high: '3fa9'})",
     "error=E3 code=3fa9"),
])
def test_what_is_said_of_failures(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression, PLACES, RANGE) == expected


SUMMARY = {"jobs": {"PENDING": 40, "SERVED": 8, "DONE": 50, "ABORTED": 2, "DELETED": 0}, "total": 100,
           "finished": 52, "coming_back": 0, "next_retry": None, "paused": False, "eta": 600,
           "workers": {"busy": 8, "idle": 0, "paused": 0, "active": 8, "disabled": 0}}
WAITING = {"PENDING": 0, "SERVED": 0, "DONE": 95, "ABORTED": 5, "DELETED": 0}
NOBODY = {"busy": 0, "idle": 0, "paused": 0, "active": 0, "disabled": 8}


@pytest.mark.parametrize("change, said", [
    ({}, "about 10 min left"),
    ({"eta": None}, ""),
    ({"paused": True}, ""),
    ({"finished": 100}, ""),
    ({"workers": NOBODY}, "waiting for workers"),
    ({"workers": dict(NOBODY, paused=2, active=2)}, "all workers are paused"),
    ({"jobs": WAITING, "finished": 96, "coming_back": 4, "next_retry": 1720}, "first retry in 12 min"),
    ({"jobs": WAITING, "finished": 96, "coming_back": 4, "next_retry": 990}, "first retry in 1 s"),
    ({"jobs": WAITING, "finished": 96, "coming_back": 4, "next_retry": 1720, "workers": NOBODY},
     "waiting for workers"),
    ({"coming_back": 4, "next_retry": 1720}, "about 10 min left"),
])
def test_what_is_to_come(blank: Browser, change: Dict[str, Any], said: str) -> None:
    assert value(blank, "outlook.outlook(given[0], 1000)", dict(SUMMARY, **change)) == said


@pytest.mark.parametrize("workers, said", [
    ({"busy": 8, "active": 8}, [[8, "busy"], [0, "idle"]]),
    ({"busy": 1, "idle": 2, "paused": 3, "active": 10, "disabled": 9},
     [[1, "busy"], [2, "idle"], [3, "paused"], [4, "leaving"]]),
    ({"disabled": 8}, [[8, "workers have left"]]), ({"disabled": 1}, [[1, "worker has left"]]),
    ({"disabled": 0}, []),
])
def test_who_is_there(blank: Browser, workers: Dict[str, int], said: Any) -> None:
    assert value(blank, "outlook.hands(given[0])", {**NOBODY, **workers}) == said


# ---- JSON whose numbers stay as they are written

@pytest.mark.parametrize("text", [
    '{"seed":1798406481619217041,"lr":1.0,"n":[1,-2,0.1,1e-05,1E5,-0.0,0.10,18446744073709551616,1e400]}',
    '{"1":true,"a":{"b":[[],{},[{"c":2.0}]]},"":"","x":null,"__proto__":5.0}',  # JavaScript puts 1 first
    '"1.0 \\" , 9007199254740993 ]"', '["a\\\\",1.0]', "7.0", "[]", "{}", "9007199254740993", "false",
])
def test_json_comes_back_as_it_was(blank: Browser, text: str) -> None:
    assert value(blank, "exactjson.stringify(exactjson.parse(given[0]))", text) == text
    assert value(blank, "exactjson.stringify(exactjson.parse(' ' + given[0] + '\\n'), '  ')", text) == value(
        blank, "exactjson.stringify(exactjson.parse(given[0]), '  ')", text)


@pytest.mark.parametrize("expression, expected", [
    # Of an answer only what is named: times and counters are calculated with.
    ("exactjson.parse('{\"jobs\":[{\"started\":5.0,\"parameters\":{\"a\":[5.0,0.5]}}]}', ['parameters'])",
     {"jobs": [{"started": 5, "parameters": {"a": [{"text": "5.0"}, 0.5]}}]}),
    ("exactjson.stringify({a: undefined, b: [1, 'x'], c: new exactjson.Exact('1.0')})",
     '{"b":[1,"x"],"c":1.0}'),
    ("exactjson.stringify({a: [1, {}], b: 2}, '  ')", '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": 2\n}'),
    ("['7', '0.5', '1e+21', '-3', '1.0', '01'].map((one) => typeof exactjson.exactNumber(one))",
     ["number"] * 4 + ["object"] * 2),
    ("new exactjson.Exact('2.0') + 1", 3),
    ("`${new exactjson.Exact('2.0')}`", "2.0"),
    ("['1.0', '2', '1e3', '-9007199254740993'].map(exactjson.exactNumber).map(exactjson.isWhole)",
     [False, True, False, True]),
    ("exactjson.parse('{\"a\": 1.0,}').a", None),
])
def test_exact_json(blank: Browser, expression: str, expected: Any) -> None:
    found = value(blank, expression)
    assert found == expected or (expected is None and found.startswith("Error: "))


# ---- texts that people write or programs print

@pytest.mark.parametrize("expression, expected", [
    ("['', 'lr<1', 'status=DONE', 'STATUS=done,Aborted', 'lr<1 status=\"DONE\"'].map(filter.statusesOf)",
     [[], [], ["DONE"], ["DONE", "ABORTED"], ["DONE"]]),
    # Twice, a negation, an unknown status, a text within quotes: none of these says which.
    ("['status=DONE status=ABORTED', 'status!=DONE', 'status=NOPE'].map(filter.statusesOf)", [[], [], []]),
    ("filter.statusesOf('a=\"x status=DONE\"')", []),
    ("filter.statusesOf('lr < 1 status = DONE,PENDING')", ["DONE", "PENDING"]),
    ("filter.withStatuses('status = DONE lr < 1 \"a = b\" x', ['DELETED'])",
     'status=DELETED lr < 1 "a = b" x'),
    ("['=x', '<path>', '!a', 'a=b'].map((one) => filter.condition('o', '=', one))",
     ['o="=x"', 'o="<path>"', 'o="!a"', "o=a=b"]),
    ("filter.withStatuses('', [])", ""),
    ("filter.withStatuses('lr<1', ['DONE', 'ABORTED'])", "status=DONE,ABORTED lr<1"),
    ("filter.withStatuses('status=DONE  lr<1 opt=\"a  b\" status!=PENDING', ['DELETED'])",
     'status=DELETED lr<1 opt="a  b"'),
    ("filter.withStatuses('a=\"status=DONE\"', [])", 'a="status=DONE"'),
    ("filter.condition('lr', '>=', 0.01)", "lr>=0.01"),
    ("filter.condition('lr', '=', -1e-7)", "lr=-1e-7"),
    ("['adam', 'a b', 'a,b', '', '日本', true].map((one) => filter.condition('o', '=', one))",
     ["o=adam", 'o="a b"', 'o="a,b"', 'o=""', "o=日本", "o=true"]),
    ("['a\"b', \"a'b\", 'a\\\\b'].map((one) => filter.condition('o', '=', one))",
     ['o="a\\"b"', "o=\"a'b\"", 'o="a\\\\b"']),
    ("resultnames.measuredFirst(['lr', 'loss', 'depth', 'f1'], ['depth', 'lr'])",
     ["loss", "f1", "lr", "depth"]),
    ("resultnames.measuredFirst([], ['lr'])", []),
    # Not "n", which all have, nor one that few have, nor a parameter.
    ("resultnames.usualResult([{name: 'lr', n: 9}, {name: 'f', n: 3}, {name: 'f1', n: 7}], ['lr'])", "f1"),
    ("resultnames.usualResult([{name: 'f', n: 3}, {name: 'f1', n: 7}, {name: 'n', n: 9}], [])", "f1"),
    ("resultnames.usualResult([{name: 'lr', n: 2}], ['lr'])", "lr"),
    ("resultnames.usualResult([], ['lr'])", ""),
])
def test_filters_and_names(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


@pytest.mark.parametrize("printed, expected", [
    ("", ""), ("one\ntwo\n", "one\ntwo\n"), ("a\r\nb\r\n", "a\nb\n"), ("Grüße 日本 🙂", "Grüße 日本 🙂"),
    ("\x1b[31mred\x1b[0m \x1b[1;38;5;12mbold\x1b[m", "red bold"),
    ("\x1b]0;a title\x07text\x1b]8;;http://x\x1b\\link", "textlink"),
    ("\x1b[2K\x1b[1Gdone", "done"),
    ("10%\r50%\r99%\nnext", "99%\nnext"),
    ("99%\r", "99%"), ("a\r\r\nb", "a\nb"), ("\r", ""), ("\x1b[31", "\x1b[31"),
])
def test_what_a_terminal_leaves(blank: Browser, printed: str, expected: str) -> None:
    assert value(blank, "terminal.plain(given[0])", printed) == expected


@pytest.mark.parametrize("typed, expected", [
    ("", []), (" , \n ,", []), ("0.1, 0.01\n1e-3", [0.1, 0.01, 0.001]),
    ("-1, +2, .5, 1e5", [-1, 2, 0.5, 100000]),
    ("3., 1.0, -0.50", [{"text": "3.0"}, {"text": "1.0"}, {"text": "-0.50"}]),
    ("9007199254740993, 0018446744073709551615",
     [{"text": "9007199254740993"}, {"text": "18446744073709551615"}]),
    ('[1.0, 2], {"a": 9007199254740993}', [[{"text": "1.0"}, 2], {"a": {"text": "9007199254740993"}}]),
    ("true, false, null, True", [True, False, None, "True"]),
    ("adam, a b, 日本, it's", ["adam", "a b", "日本", "it's"]),
    ('"a, b", "1", "x\\"y", "\\n", ""', ["a, b", "1", 'x"y', "\n", ""]),
    ('[1, 2], {"a": [3, "]"]}, [[]]', [[1, 2], {"a": [3, "]"]}, [[]]]),
    ('5", 6"', ['5"', '6"']),
    ("1..4", [1, 2, 3, 4]), ("4..1", [4, 3, 2, 1]), ("2..2", [2]), ("-1..1", [-1, 0, 1]),
    ("0..1 step 0.25", [0, 0.25, 0.5, 0.75, 1]), ("0.1..0.3 step 0.1", [0.1, 0.2, 0.3]),
    ("1..2 step 0.4", [1, 1.4, 1.8]), ("1..0 STEP 0.5", [1, 0.5, 0]),
    ("1e-5..1e-1 log 5", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]), ("8..2 log 3", [8, 4, 2]),
    ("1..3, 7", [1, 2, 3, 7]), ("1..a, ..", ["1..a", ".."]),
    ("1e999", "Error: 1e999 is larger than a number can be."),
    ("9007199254740993..9007199254740995",
     ("Error: 9007199254740993..9007199254740995: 9007199254740993 has more digits than a range keeps; "
      "give its values one by one.")),
    ("1..5 step 0", "Error: 1..5 step 0: 0 is not a positive number."),
    ("1..5 step -1", "Error: 1..5 step -1: -1 is not a positive number."),
    ("0..1 log 3", "Error: 0..1 log 3: a log range needs positive ends."),
    ("1..9 log 1", "Error: 1..9 log 1: give how many values, at least 2."),
    ("1..9 log 2.5", "Error: 1..9 log 2.5: give how many values, at least 2."),
    ("1..1e9", "Error: 1..1e9 are 1,000,000,000 values, too many."),
    ("1..600000, 1..600000", "Error: More than 1,000,000 values."),
    ('{"a"', 'Error: {"a" is neither text nor JSON; quote text as "…".'),
])
def test_values_of_a_parameter(blank: Browser, typed: str, expected: Any) -> None:
    assert value(blank, "grid.values(given[0])", typed) == expected


@pytest.mark.parametrize("expression, expected", [
    ("grid.values('1..1000000').length === grid.MOST", True),
    ("[null, true, 0, NaN, '', [], {}].map(grid.kind)",
     ["null", "true/false", "number", "number", "text", "JSON", "JSON"]),
    ("grid.combinations([])", 1),
    ("grid.combinations([['a', [1, 2]], ['b', [1, 2, 3]]])", 6),
    ("grid.combinations([['a', [1, 2]], ['b', []]])", 0),
    ("[0, 1, 2, 5].map((at) => grid.jobAt([['a', [1, 2]], ['b', ['x', 'y', 'z']]], at))",
     [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 1, "b": "z"}, {"a": 2, "b": "z"}]),
    ("grid.jobAt([], 0)", {}),
])
def test_grids(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


@pytest.mark.parametrize("expression, expected", [
    ("space.range('number', '0', '0.99')", {"low": {"text": "0.0"}, "high": 0.99}),
    ("space.range('log', '1e-5', '1e3')", {"low": 0.00001, "high": {"text": "1000.0"}, "log": True}),
    ("space.range('whole', '-1', '+20')", {"low": -1, "high": 20}),
    ("space.range('whole-log', '1', '1e3')", {"low": 1, "high": 1000, "log": True}),
    ("space.range('whole', '1', '9007199254740993')", {"low": 1, "high": {"text": "9007199254740993"}}),
    ("space.range('number', '', '1')", "Error: Give the lowest value."),
    ("space.range('number', '1', 'x')", "Error: x is no number."),
    ("space.range('whole', '1', '2.5')", "Error: 2.5 is no whole number."),
    ("space.range('number', '2', '2.0')", "Error: The lowest value must be below the highest."),
    ("space.range('log', '0', '1')", "Error: With log, the lowest value is above 0."),
    ("space.conditions(' ')", None),
    ("space.conditions('opt=sgd,adam  depth=2')", {"opt": ["sgd", "adam"], "depth": [2]}),
    ("space.conditions('opt=\"a b\",c flag=true')", {"opt": ["a b", "c"], "flag": [True]}),
    ("space.conditions('opt')", "Error: opt: give a name and its values, as in opt=sgd,adam."),
    ("space.conditions('opt=sgd or')", "Error: or: give a name and its values, as in opt=sgd,adam."),
])
def test_what_a_space_is_made_of(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


# ---- the numbers behind the Results page

@pytest.mark.parametrize("expression, expected", [
    ("statistics.sorted([3, NaN, -1, Infinity, null, 2, -0.5])", [-1, -0.5, 2, 3]),
    ("statistics.sorted([])", []),
    ("[0, 0.25, 0.5, 1].map((q) => statistics.quantile([1, 2, 3, 4], q))", [1, 1.75, 2.5, 4]),
    ("[statistics.quantile([7], 0.9), statistics.quantile([], 0.5)]", [7, "NaN"]),
    ("statistics.ranking([3, NaN, 1, 3], true)", [2, 0, 3]),
    ("statistics.ranking([3, NaN, 1, 3], false)", [0, 3, 2]),
    ("statistics.ranking([], true)", []),
    ("[0, 1, 123456].map((id) => statistics.noise(id) === statistics.noise(id))", [True] * 3),
    ("[...Array(100).keys()].map(statistics.noise).every((one) => one >= -1 && one < 1)", True),
    ("new Set([...Array(100).keys()].map(statistics.noise)).size", 100),
    ("statistics.evenly([0, 1, 2, 3, 4, 5], 3)", [0, 2, 4]),
    ("[statistics.evenly([1, 2], 3), statistics.evenly([], 3), statistics.evenly([1, 2], 1)]",
     [[1, 2], [], [1]]),
    ("statistics.trend([1, 2, 3, 4], [1, 2, 3, 5], 2)",
     [{"x": 1.5, "q1": 1.25, "median": 1.5, "q3": 1.75}, {"x": 3.5, "q1": 3.5, "median": 4, "q3": 4.5}]),
    ("statistics.trend([4, NaN, 1], [9, 5, 7], 1)", [{"x": 2.5, "q1": 7.5, "median": 8, "q3": 8.5}]),
    ("statistics.trend([], [], 3)", []),
])
def test_statistics(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


@pytest.mark.parametrize("expression, expected", [
    ("columns.column('a', ['1', 2, null, ' 1e3 ', '-.5'])",
     {"name": "a", "kind": "number", "values": [1, 2, None, 1000, -0.5], "distinct": [-0.5, 1, 2, 1000],
      "raw": ["1", 2, None, " 1e3 ", "-.5"]}),
    # Seeds that JavaScript would take for one are texts, whether they are numbers or texts in the jobs.
    ("columns.column('a', exactjson.parse('[1798406481619217042, 1798406481619217041, 3]')).distinct",
     ["3", "1798406481619217041", "1798406481619217042"]),
    ("columns.column('a', ['1798406481619217042', '1798406481619217041']).kind", "category"),
    ("columns.column('a', exactjson.parse('[1.0, 0.5]')).values", [1, 0.5]),
    ("columns.column('a', ['1', 'auto', 2, '10'])",
     {"name": "a", "kind": "category", "values": ["1", "auto", "2", "10"],
      "distinct": ["1", "2", "10", "auto"], "raw": ["1", "auto", 2, "10"]}),
    ("columns.column('a', [Infinity, 1, NaN, 2]).values", [None, 1, None, 2]),
    ("columns.column('a', ['0x10', '1']).kind", "category"),
    ("columns.column('a', ['', '1']).kind", "category"),
    ("columns.column('a', [true, false]).distinct", ["false", "true"]),
    ("columns.column('a', [[1, 2], {b: 1}]).distinct", ["[1,2]", '{"b":1}']),
    ("columns.column('a', ['日本', 'ä', 'z', 'a']).distinct", ["a", "ä", "z", "日本"]),
    ("[[5, 5, null], [], [null], ['x', 'x']].map((raw) => columns.column('a', raw).kind)", ["constant"] * 4),
    ("[[1, 2, 1, 2], [1, 2, 3], []].map((raw) => columns.repeats(columns.column('a', raw)))",
     [True, False, True]),
    ("[12, 13].map((n) => columns.repeats(columns.column('a', [...Array(2 * n).keys()].map((i) => i % n))))",
     [True, False]),
    ("columns.FEW", 12),
])
def test_columns(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


SINGLE = """((value, log) => {
  const {low, high, at} = axis.numberAxis(value, value, log);
  return [low, high, Number(at(value).toFixed(9))];
})(%s)"""


@pytest.mark.parametrize("expression, expected", [
    ("[[0.00001, 0.001, 0.1, 1], [16, 32, 64, 128], [1, 10, 100]].map(axis.wantsLog)", [True, True, False]),
    ("[[0, 0.001, 1], [-1, 1, 1000], [1, 2, 3, 4], [5], []].map(axis.wantsLog)", [False] * 5),
    # Each value about twice the one before, but not quite as evenly.
    ("[[2, 4, 8, 16], [2, 4, 8], [2, 4, 8, 24], [1, 1.5, 2.25, 3.4]].map(axis.wantsLog)",
     [True, False, False, False]),
    ("axis.numberAxis(1, 1000, true).at(10).toFixed(6)", "0.333333"),
    ("Math.round(axis.numberAxis(1, 1000, true).back(2 / 3))", 100),
    ("[-1, 0, null].map(axis.numberAxis(1, 1000, true).at)", ["NaN"] * 3),
    ("[-5, 0, 5, 20].map(axis.numberAxis(-5, 5, false).at)", [0, 0.5, 1, 2.5]),
    ("axis.numberAxis(-5, 5, false).back(0.25)", -2.5),
    ("axis.numberAxis(0.01, 100, true).ticks(6)", [0.01, 0.1, 1, 10, 100]),
    ("axis.numberAxis(30, 40, true).ticks(3).length > 1", True),
    # A single value lies in the middle.
    (SINGLE % "5, false", [2.5, 7.5, 0.5]), (SINGLE % "0, false", [-0.5, 0.5, 0.5]),
    (SINGLE % "-2, false", [-3, -1, 0.5]), (SINGLE % "8, true", [4, 16, 0.5]),
    ("['a', 'b', 'z', null].map(axis.categoryAxis(['a', 'b']).at)", [0.25, 0.75, "NaN", "NaN"]),
    ("[0, 1].map(axis.numberAxis(3, 7, false).back)", [3, 7]),
    ("[-1, 0, 0.49, 0.5, 1, 2].map(axis.categoryAxis(['a', 'b']).back)", ["a", "a", "a", "b", "b", "b"]),
    ("[0, 1, 2, 4, 9].map((count) => axis.categoryAxis(['a', 'b', 'c', 'd']).ticks(count).length)",
     [1, 1, 2, 4, 4]),
    ("['x', 'y', 'x'].map(axis.axisOf(columns.column('a', ['x', 'y', 'x'])).at)", [0.25, 0.75, 0.25]),
    ("axis.axisOf(columns.column('a', [1, 2, 4, 8, 16, 1, 2, 4, 8, 16])).log", True),
    ("axis.axisOf(columns.column('a', [1, 2, 4, 8, 16, 1, 2, 4, 8, 16]), false).log", False),
    ("axis.axisOf(columns.column('a', [0, 1, 2]), true).log", False),
    ("axis.axisOf(columns.column('a', [1, 3, 1, 3])).ticks(9)", [1, 3]),
    ("axis.axisOf(columns.column('a', [])).kind", "category"),
    ("axis.axisOf(columns.column('a', [7])).at(7)", 0.5),
])
def test_axes(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


@pytest.mark.parametrize("least, median, most, log", [
    (0.1, 0.25, 500, True), (0.004, 0.65, 0.9, False), (0, 1, 1000, False), (-5, -2, 1, False)])
def test_whether_a_metric_wants_a_logarithmic_axis(blank: Browser, least: float, median: float, most: float,
                                                   log: bool) -> None:
    assert value(blank, "axis.metricWantsLog(given[0])", {"min": least, "median": median, "max": most}) is log


@pytest.mark.parametrize("ends, expected", [
    # A bin is told by the values in it: its edges, and these rounded, would leave some out.
    ("{low: 0.41, high: 0.7, least: 0.45, most: 0.6}", ["param.a>=0.45", "param.a<=0.6"]),
    ("{least: 'a b', most: 'a b'}", ['param.a="a b"']),
    ("{least: exactjson.exactNumber('1.0'), most: exactjson.exactNumber('1.0')}", ["param.a=1.0"]),
    ("{least: '1798406481619217042', most: '1798406481619217042'}", ["param.a=1798406481619217042"]),
])
def test_the_filter_of_a_bin(blank: Browser, ends: str, expected: List[str]) -> None:
    assert value(blank, "binfilter.within({filterName: 'param.a'}, %s)" % ends) == expected


IMPORTANCE = "((raw, metric) => variance.importance(columns.column('a', raw), metric))"


@pytest.mark.parametrize("expression, expected", [
    # A parameter that decides all, one that does nothing, one whose values do not repeat.
    (IMPORTANCE + "([1, 2, 1, 2, 1, 2], [5, 7, 5, 7, 5, 7])", {"share": 1, "n": 6, "groups": 2}),
    (IMPORTANCE + "([1, 2, 1, 2], [5, 5, 7, 7])", {"share": 0, "n": 4, "groups": 2}),
    (IMPORTANCE + "(['x', 'y', 'z'], [1, 2, 3])", {"share": None, "n": 3, "groups": 3, "same": False}),
    # Groups 1, 3 and 2, 4: within 4, all 5, chance 1 * 4 / (4 - 2): nothing is left.
    (IMPORTANCE + "(['x', 'y', 'x', 'y'], [1, 2, 3, 4]).share", 0),
    # Groups 0, 1 and 4, 5: all 17, within 1, chance 1 * 1 / 2: (17 - 1 - 0.5) / 17.
    (IMPORTANCE + "(['x', 'x', 'y', 'y'], [0, 1, 4, 5]).share.toFixed(6)", "0.911765"),
    # 200 different numbers fall into ten bins; noise over them explains nothing.
    (IMPORTANCE + "([...Array(200).keys()], [...Array(200).keys()].map((i) => i % 2))",
     {"share": 0, "n": 200, "groups": 10}),
    (IMPORTANCE + "([...Array(200).keys()], [...Array(200).keys()]).share > 0.98", True),
    # Jobs without the parameter or the metric do not count; nothing explains a metric that never varies.
    (IMPORTANCE + "([1, 2, 1, 2, null, 1], [5, 7, 5, 7, 99, NaN])", {"share": 1, "n": 4, "groups": 2}),
    (IMPORTANCE + "([1, 2, 1, 2, null], [3, 3, 3, 3, 4])",
     {"share": None, "n": 4, "groups": 2, "same": True}),
    # The mean of these is rounded: as numbers they differ from it by something.
    (IMPORTANCE + "(Array.from({length: 10}, (_, i) => i % 2), Array(10).fill(0.1)).share", None),
    ("[[0.1, NaN, 0.1], [], [1, 2]].map(variance.constant)", [True, True, False]),
    (IMPORTANCE + "([1, 1, 1], [1, 2, 3]).share", None),
    (IMPORTANCE + "([], [])", {"share": None, "n": 0, "groups": 0, "same": False}),
])
def test_importance(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


ANSWER = {"metric": "m", "total": 4, "shown": 4, "utmost": [],
          "spread": {"min": 1, "low": 1, "median": 2, "high": 3, "max": 3},
          "ids": [1, 2, 3, 4], "values": [1, 2, 3, None],
          "parameters": {"a": [1, 2, 3, 4], "b": [0, 0, 0, 1], "c": ["x", "y", "y", "z"]},
          "results": {"other": [9, 8, 7, 6], "same": [1, 1, 1, 1]}}


@pytest.mark.parametrize("less, goodness, order", [
    (True, [1, 0.5, 0], [0, 1, 2]), (False, [0, 0.5, 1], [2, 1, 0])])
def test_goodness_is_one_for_the_best_whichever_way(blank: Browser, less: bool, goodness: List[float],
                                                    order: List[int]) -> None:
    found = value(blank, "data.dataOf(given[0], given[1])", ANSWER, less)
    assert (found["goodness"], found["byGoodness"], found["less"]) == (goodness, order, less)
    # Job 4 has no such metric; b and `same` do not vary among the others.
    assert found["ids"] == [1, 2, 3] and found["values"] == [1, 2, 3]
    assert [one["filterName"] for one in found["columns"]] == ["param.a", "param.c"]
    assert [one["filterName"] for one in found["others"]] == ["result.other"]
    assert (found["min"], found["max"], found["range"]) == (1, 3, {"low": 1, "high": 3})
    assert (found["log"], found["canLog"], found["total"]) == (False, True, 4)


def spread(values: List[float]) -> Any:
    """As the server tells it."""
    found = metricvalues.spread(values)
    return found and found._asdict()


def test_a_sample_is_seen_as_one_and_its_ends_are_those_of_all(blank: Browser) -> None:
    answer = {"metric": "m", "total": 4000, "shown": 3, "ids": [1, 2, 3], "values": [5, 1, 7], "utmost": [3],
              "spread": {"min": 1, "low": 2, "median": 5, "high": 6, "max": 7, "mean": 5},
              "parameters": {"a": [1, 2, 3]}, "results": {}}
    found = value(blank, "data.dataOf(given[0], true)", answer)
    assert (found["sampled"], found["even"]) == (True, [True, True, False])
    assert (found["range"], found["min"], found["max"]) == ({"low": 2, "high": 6}, 1, 7)
    assert found["goodness"] == [0.25, 1, 0]


@pytest.mark.parametrize("values, log, expected", [
    ([], None, {"ids": [], "log": False, "canLog": False, "goodness": [], "even": []}),
    ([5], None, {"ids": [0], "log": False, "goodness": [0.5], "range": {"low": 5, "high": 5}}),
    ([0.001, 0.002, 10], None, {"log": True, "canLog": True}),
    ([0.001, 0.002, 10], False, {"log": False, "canLog": True}),
    ([-1, 2], True, {"log": False, "canLog": False}),
    # Of many jobs the utmost 5 % do not stretch the colours.
    ([*range(100), 1e9], None, {"range": {"low": 5, "high": 95}, "min": 0, "max": 1e9, "sampled": False}),
])
def test_what_the_plots_draw(blank: Browser, values: List[float], log: Optional[bool],
                             expected: Dict[str, Any]) -> None:
    answer = {"metric": "m", "total": len(values), "shown": len(values), "ids": [*range(len(values))],
              "values": values, "parameters": {}, "results": {}, "utmost": [], "spread": spread(values)}
    found = value(blank, "data.dataOf(given[0], true, given[1] === null ? undefined : given[1])", answer, log)
    assert {name: found[name] for name in expected} == expected


SAMPLED = "Points and lines are 1,000 of all, the best and the worst among these"


@pytest.mark.parametrize("counts, said", [
    ({"total": 3, "shown": 3, "jobs": 3}, "3 jobs with loss"),
    ({"total": 468, "shown": 468, "jobs": 600, "nan": 54, "without": 78},
     "468 of 600 jobs have loss: 54 NaN, 78 done without it"),
    ({"total": 1, "shown": 1, "jobs": 1500, "infinite": 2},
     "1 of 1,500 jobs has loss: 2 infinite, 1,497 not done"),
    ({"total": 4000, "shown": 1000, "jobs": 4001, "nan": 1},
     "4,000 of 4,001 jobs have loss: 1 NaN. " + SAMPLED),
    ({"total": 51, "shown": 51, "jobs": 56, "nan": 1, "not_done": 8},
     "51 of 56 jobs have loss: 1 NaN, 4 not done. 8 with it are not done: status=DONE leaves them out"),
])
def test_what_is_with_jobs_without_the_metric_is_told(
        blank: Browser, counts: Dict[str, int], said: str) -> None:
    answer = dict({"metric": "loss", "nan": 0, "infinite": 0, "without": 0, "not_done": 0}, **counts)
    assert value(blank, "tally.tally(%s)" % json.dumps(answer)) == said


@pytest.mark.parametrize("names, less", [
    (["val_loss", "rmse", "test/perplexity", "runtime", "trainLoss", "ERR", "fid", "cost_total",
      "peak_memory_gb", "maxMemory", "bytes_sent"], True),
    (["accuracy", "r2", "score", "top1_acc", "mapScore", "f1", "", "日本", "reward_time"], False),
])
def test_whether_less_is_better_is_judged_by_the_name(blank: Browser, names: List[str],
                                                      less: bool) -> None:
    assert value(blank, "given[0].map(direction.lessIsBetter)", names) == [less] * len(names)


@pytest.mark.parametrize("name, less", [
    ("loss", True), ("accuracy", False), ("grad_norm", "undefined"), ("epoch", "undefined")])
def test_a_name_may_say_nothing_of_its_direction(blank: Browser, name: str, less: Any) -> None:
    assert value(blank, "direction.nameSays(given[0])", name) == less
    assert value(blank, "direction.knownDirection(given[0])", name) == less


def test_an_address_of_compare_says_what_the_names_do_not(blank: Browser) -> None:
    blank.run("""
        localStorage.setItem('results.less', '{"score": true, "loss": true}');
        window.names = ['loss', 'score', 'grad_norm', 'a,b'];
        window.said = (query) => directions.directionsIn(new URLSearchParams(query));
        window.both = (made) => [names.map(made.less), made.query(names)];""")
    kept = [[True, True, "undefined", "undefined"], {"less": "score", "more": ""}]
    assert value(blank, "both(said(''))") == kept
    # Who follows a link does not mix in what their own browser keeps.
    assert value(blank, "both(said('more=loss'))") == [
        [False, False, "undefined", "undefined"], {"less": "", "more": "loss"}]
    turned = [[True, False, False, True], {"less": "a\\,b", "more": "grad_norm"}]
    assert value(blank, "both(((made) => { for (const name of ['score', 'grad_norm', 'grad_norm', 'a,b'])"
                        " made.turn(name); return made; })(said('')))") == turned
    assert value(blank, "both(said(new URLSearchParams(given[0])))", turned[1]) == turned
    assert json.loads(blank.run("return localStorage.getItem('results.less')")) == {
        "loss": True, "score": False, "grad_norm": False, "a,b": True}
    blank.run("localStorage.removeItem('results.less')")


def test_a_direction_that_somebody_chose_is_kept(blank: Browser) -> None:
    blank.run("direction.chooseDirection('score', true)")
    assert value(blank, "['score', 'reward'].map(direction.lessIsBetter)") == [True, False]
    blank.run("localStorage.setItem('results.less', 'null')")
    assert value(blank, "direction.lessIsBetter('score')") is False
    blank.run("localStorage.setItem('results.less', '{broken')")
    assert value(blank, "direction.lessIsBetter('loss')") is True
    blank.run("localStorage.removeItem('results.less')")


PARALLEL = """((ranges) => {
  const named = (name, raw) => Object.assign(columns.column(name, raw), {filterName: 'param.' + name});
  const all = [named('lr', [0.1, 0.25, 0.3, 0.47]), named('opt', ['a b', 'adam', 'sgd', 'sgd'])];
  const metric = Object.assign(columns.column('m', [1, 2, 3, 4]), {filterName: 'result.m'});
  const data = {weights: all.map((column) => ({column})), columns: all, column: metric, log: false};
  const state = {order: given[0], hidden: new Set(given[1]), ranges: new Map(Object.entries(ranges))};
  const axes = parallel.axesOf(data, state);
  return [axes.map(({column}) => column.name), parallel.filterOf(axes, state.ranges)];
})"""


@pytest.mark.parametrize("order, hidden, ranges, names, text", [
    (None, [], {}, ["lr", "opt", "m"], ""),
    (["opt", "gone"], [], {"lr": [0.1, 0.3]}, ["opt", "lr", "m"], "param.lr>=0.1 param.lr<=0.3"),
    (None, ["lr"], {"opt": ["a b", "adam"], "lr": [0, 1]}, ["opt", "m"], 'param.opt="a b",adam'),
    # Texts have slots: those of a range are within it, in the order of the axis.
    (None, [], {"opt": ["sgd", "adam"], "m": [2, 3]}, ["lr", "opt", "m"],
     "param.opt=adam,sgd result.m>=2 result.m<=3"),
])
def test_axes_and_ranges_of_parallel_coordinates(
        blank: Browser, order: Optional[List[str]], hidden: List[str], ranges: Dict[str, List[Any]],
        names: List[str], text: str) -> None:
    assert value(blank, PARALLEL + "(given[2])", order, hidden, ranges) == [names, text]


# ---- what parameters do with others, on data whose answer is known

MATTER = """((table, metric) => {
  const made = Object.entries(table).map(([name, raw]) => columns.column(name, raw))
    .filter(({kind}) => kind !== "constant");
  const model = matter.modelOf(made, metric), told = model && matter.matter(model);
  const again = model && matter.matter(matter.modelOf(made, metric));
  return told && {...told, shares: told.shares && Object.fromEntries(
      made.map(({name}, at) => [name, told.shares[at]])),
    alone: Object.fromEntries(made.map((one) => [one.name, variance.importance(one, metric).share])),
    same: JSON.stringify(told) === JSON.stringify(again)};
})(given[0], given[1])"""
Table = Dict[str, List[Any]]


def drawn(jobs: int, noise: int, seed: int = 1) -> Table:
    """Parameters a and b, even from 0 to 1, and such that do nothing."""
    chance = random.Random(seed)
    return {name: [chance.random() for _ in range(jobs)]
            for name in ["a", "b", *("noise%d" % at for at in range(noise))]}


def told(blank: Browser, table: Table, metric: List[float]) -> Any:
    found = value(blank, MATTER, table, metric)
    if found is not None:
        assert found["same"]
        noisy = [share for name, share in (found["shares"] or {}).items() if name.startswith("noise")]
        assert all(share < 0.02 for share in noisy)
    return found


def test_what_adds_up_is_shared_by_its_variance(blank: Browser) -> None:
    table = drawn(1000, 4)
    table["kept"] = [1] * 1000
    found = told(blank, table, [2 * a + b for a, b in zip(table["a"], table["b"])])
    for shares in (found["shares"], found["alone"]):  # variances of 4/12 and 1/12
        assert shares["a"] == pytest.approx(0.8, abs=0.05) and shares["b"] == pytest.approx(0.2, abs=0.05)
    assert found["together"] == found["alike"] == [] and found["explained"] > 0.95
    assert "kept" not in found["shares"]


@pytest.mark.parametrize("jobs, noise", [(200, 3), (2000, 23)])
def test_what_only_two_do_together_is_found(blank: Browser, jobs: int, noise: int) -> None:
    table, chance = drawn(jobs, noise), random.Random(2)
    table["b"] = ["x" if b > 0.5 else "y" for b in table["b"]]
    metric = [((a > 0.5) == (b == "x")) + chance.gauss(0, 0.1) for a, b in zip(table["a"], table["b"])]
    found = told(blank, table, metric)
    assert found["alone"]["a"] < 0.03 and found["alone"]["b"] < 0.03
    assert found["shares"]["a"] > 0.6 and found["shares"]["b"] > 0.6
    assert sorted(found["together"][0][:2]) == ["a", "b"] and found["together"][0][2] > 0.6


def test_what_is_missing_and_what_only_some_have(blank: Browser) -> None:
    """momentum is there for sgd alone, and does not stand for the optimizer. note matters by being there."""
    table, chance = drawn(600, 2), random.Random(3)
    table["opt"] = [chance.choice(["adam", "sgd"]) for _ in range(600)]
    table["momentum"] = [chance.random() if opt == "sgd" else None for opt in table["opt"]]
    metric = [(opt == "sgd") + a for opt, a in zip(table["opt"], table["a"])]
    found = told(blank, table, metric)
    assert found["shares"]["momentum"] < 0.02 and found["alike"] == []
    assert found["shares"]["opt"] == pytest.approx(0.75, abs=0.07)  # variances of 1/4 and 1/12
    table["note"] = [chance.random() if chance.random() < 0.5 else None for _ in range(600)]
    found = told(blank, table, [float(note is None) for note in table["note"]])
    assert found["shares"]["note"] > 0.9 and found["alone"]["note"] is None


def test_parameters_that_hardly_differ_are_named(blank: Browser) -> None:
    table = drawn(500, 2)
    table["copy"] = [round(a, 3) for a in table["a"]]
    found = told(blank, table, [a + b / 10 for a, b in zip(table["a"], table["b"])])
    assert found["alike"] == [["a", "copy"]]
    assert 0.1 < found["shares"]["a"] < 0.9 and 0.1 < found["shares"]["copy"] < 0.9
    assert found["alone"]["a"] > 0.95 and found["alone"]["copy"] > 0.95


def test_of_few_jobs_and_of_noise_nothing_is_said(blank: Browser) -> None:
    table, chance = drawn(19, 2), random.Random(4)
    assert told(blank, table, table["a"]) is None
    assert told(blank, {}, [chance.random() for _ in range(50)]) is None
    table = drawn(400, 23)
    found = told(blank, table, [chance.gauss(0, 1) for _ in range(400)])
    assert found["shares"] is None and found["explained"] == 0 and found["together"] == []
    assert told(blank, table, [0.1] * 400) is None
    undefined = "matter.modelOf([columns.column('a', given[0])], given[0].map(() => NaN))"
    assert value(blank, undefined, table["a"]) is None


def test_a_partial_dependence_is_the_curve(blank: Browser) -> None:
    table = drawn(800, 1)
    found = value(blank, """(() => {
      const made = Object.entries(given[0]).map(([name, raw]) => columns.column(name, raw));
      return matter.dependence(matter.modelOf(made, given[1]), "a");
    })()""", table, [(a - 0.5) ** 2 + b for a, b in zip(table["a"], table["b"])])
    assert len(found["values"]) == 31 and 30 <= len(found["lines"]) <= 50
    mean_b = sum(table["b"]) / 800
    for a, mean, low, high in zip(found["values"], found["mean"], found["q1"], found["q3"]):
        assert mean == pytest.approx((a - 0.5) ** 2 + mean_b, abs=0.06)
        assert low < mean < high and high - low == pytest.approx(0.5, abs=0.12)  # the middle half of b


# ---- the address and the CSV of the Results page

@pytest.mark.parametrize("expression, expected", [
    ("lists.listText(['param.lr', 'result.a,b', 'x:y\\\\'])", r"param.lr,result.a\,b,x\:y\\"),
    ("said({axes: lists.listText(['param.lr', 'result.a,b', 'x:y\\\\'])}).axes",
     ["param.lr", "result.a,b", "x:y\\"]),
    ("[[], ['']].map(lists.listText)", [",", ","]),
    ("[{up: 'a'}, {down: 'a'}, {up: 'a', down: 'b'}, {}].map((one) => said(one).up)", ["a", "a", "a", ""]),
    ("['', ',', ',,a'].map((columns) => said({columns}).columns)", [None, [], ["a"]]),
    ("view.rangesText(new Map([['lr', [1e-5, 0.1]], ['o:p', ['a,b', 'c']]]))", r"lr:0.00001:0.1,o\:p:a\,b:c"),
    ("[...said({ranges: 'lr:0.00001:0.1,o\\\\:p:a\\\\,b:c,bad,b:1,x:1:2:3'}).ranges]",
     [["lr", ["0.00001", "0.1"]], ["o:p", ["a,b", "c"]]]),
    ("[[null, null], [{by: 'result.a', down: true}], [{by: 'param.b'}]].map(([one]) => view.sortText(one))",
     ["", "-result.a", "param.b"]),
    ("['-result.a', 'param.-b', 'a', '--param.x', ''].map((sort) => said({sort}).sort)",
     [{"by": "result.a", "down": True}, {"by": "param.-b", "down": False}, None, None, None]),
    ("['1', '0', '', '2', 'toString'].map((log) => said({log}).log)",
     [True, False, "undefined", "undefined", "undefined"]),
    ("['100', '', '21', '1e9'].map((top) => said({top}).top)", [100, 20, 20, 20]),
    ("[true, false, undefined].map(view.switchText)", ["1", "0", ""]),
    ("view.bounded({a: 'x', b: 'ä'.repeat(501), c: null})", {"a": "x", "b": "", "c": None}),
    # Ranges of an address are used where the column has such values.
    ("[['.1', '1e1'], ['', '1'], ['5', '1'], ['x', '']].map((ends) => range([1, 2], ends))",
     [[0.1, 10], None, None, None]),
    ("[['x', 'y'], ['x', 'z']].map((ends) => range(['x', 'y'], ends))",
     [["x", "y"], None]),
])
def test_what_an_address_says(blank: Browser, expression: str, expected: Any) -> None:
    short = """const said = (query) => view.viewOf(new URLSearchParams(query));
        const range = (values, ends) => parallel.rangeOf(columns.column("a", values), ends);"""
    assert value(blank, "(() => { %s return %s; })()" % (short, expression)) == expected


def test_a_csv_is_the_one_of_the_server(blank: Browser) -> None:
    rows: List[List[Any]] = [["id", "a,b", 'say "x"'], [1, -1.5, True], [None, "=1+1", "-1.5"],
                             ["-x", "\u200b@a", "+1e5"], ["\ttab", "a\nb", "日本"],
                             ["[1, 2]", 0.1, 12345678901234]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([csvcells.text(one) for one in row] for row in rows)
    wanted = text.getvalue().replace("True", "true")
    assert value(blank, "csv.csv(given[0])", rows) == wanted
    exact = value(blank, "csv.csv([exactjson.parse('[1.0, 1798406481619217041]')])")
    assert exact == "1.0,1798406481619217041\r\n"


# ---- new jobs around others

# A sweep of 12: a grid of lr and opt, a momentum for sgd, a size that is whole, lists, a constant.
SWEEP = """((what) => {
  const lr = [0.001, 0.01, 0.1], opt = ["adam", "sgd"], n = [...Array(12).keys()];
  const raw = {lr: n.map((i) => lr[i % 3]), opt: n.map((i) => opt[Math.floor(i / 3) % 2]),
    size: n.map((i) => 2 ** (i % 4)), momentum: n.map((i) => (Math.floor(i / 3) % 2 ? 0.5 + i / 100 : null)),
    sizes: n.map((i) => (i % 2 ? "[1, 2]" : "[64]")),
    rate: exactjson.parse("[1.0,2.0,0.5,1.0,2.0,0.5,1.0,2.0,0.5,1.0,2.0,0.5]")};
  const all = Object.entries(raw).map(([name, some]) => columns.column(name, some));
  const given = exactjson.parse('{"lr": 0.01, "opt": "adam", "size": 2, "sizes": [1, 2], "rate": 2.0,'
    + '"kept": 1.0}');
  return what(all, given);
})"""


@pytest.mark.parametrize("expression, expected", [
    # Near a job: numbers a step to either side, all else kept; a fine grid has what lies half way, too.
    ("(all, given) => around.boxOf({given, columns: all, places: [1], ranges: new Map(), near: () => true})",
     ('{"sampled":false,"parameters":{"lr":{"low":0.001,"high":0.1,"values":[0.001,0.0055,0.01,0.055,0.1]},'
     '"opt":{"values":["adam"]},"size":{"low":1,"high":4,"log":true,"whole":true,"values":[1,2,3,4]},'
     '"sizes":{"values":[[1,2]]},"rate":{"low":1,"high":3,"values":[1.0,1.5,2.0,2.5,3.0]},'
     '"kept":{"values":[1.0]}}}')),
    # Within ranges: what the jobs in it have; what only some have is told with its condition, as a sample.
    (("(all, given) => around.boxOf({given, columns: all, places: [1, 4, 2, 5], near: () => false,"
     " ranges: new Map([['lr', [0.005, 0.2]]])})"),
     ('{"sampled":true,"parameters":{"lr":{"low":0.005,"high":0.2,"values":[0.005,0.1025,0.2]},'
     '"opt":{"values":["adam","sgd"]},"size":{"low":1,"high":4,"log":true,"whole":true,"values":[1,2,4]},'
     '"sizes":{"values":[[1,2],[64]]},"rate":{"low":0.5,"high":2,"values":[0.5,1.25,2.0]},'
     '"kept":{"values":[1.0]},"momentum":{"low":0.54,"high":0.55,"values":[0.54,0.545,0.55],'
     '"when":{"opt":["sgd"]}}}}')),
    # One value in a range is that value, and one that all have is kept.
    (("(all, given) => around.boxOf({given, columns: all.slice(0, 1), places: [1], near: () => false,"
     " ranges: new Map([['lr', [0.1, 0.1]]])}).parameters.lr"), '{"values":[0.1]}'),
    (("(all, given) => around.boxOf({given, columns: all.slice(0, 1), places: [1], near: () => false,"
     " ranges: new Map()}).parameters.lr"), '{"values":[0.01]}'),
    # How far that is: at the ends as far as on the other side, yet no less than nothing and no part beyond 1.
    (("() => [[[0, 0.1, 0.3], 0], [[0.1, 0.3, 0.5], 0.1], [[0.1, 0.5, 0.9], 0.9], [[-2.5, 2, 4], 4],"
     " [[1, 10, 1000], 1000], [[1, 10, 1000], 1], [[...Array(100).keys()], 50]].map(([tried, a]) => {"
     " const {parameters} = around.boxOf({given: {a}, columns: [columns.column('a', tried)], places: [],"
     " ranges: new Map(), near: () => true}); return [parameters.a.low, parameters.a.high]; })"),
     "[[0,0.1],[0.05,0.3],[0.5,1],[2,6],[10,100000],[1,10],[40,60]]"),
    (("(all, given) => prefill.prefill(exactjson.stringify(around.boxOf({given, columns: all, places: [1, 4],"
     " near: () => false, ranges: new Map()}))).rows.map((row) => Object.values(row).join('|'))"),
     ('["lr|list|0.01|||","opt|list|adam, sgd|||","size|whole-log|1, 2|1|2|","sizes|list|[1,2], [64]|||",'
     '"rate|list|2.0|||","kept|list|1.0|||","momentum|list|0.54|||opt=sgd"]')),
    ("() => around.addressOf({sampled: false, parameters: {a: {values: ['x'.repeat(7000)]}}})", "null"),
])
def test_new_jobs_around_others(blank: Browser, expression: str, expected: str) -> None:
    found = value(blank, "exactjson.stringify(%s(%s))" % (SWEEP, expression))
    assert found == expected


@pytest.mark.parametrize("text", [
    "", "null", "{}", "[]", "{", '{"parameters": {}}', '{"parameters": {"a": 1}}',
    '{"parameters": {"a": {}}}',
    '{"parameters": {"": {"values": [1]}}}', '{"parameters": {"a": {"low": 2, "high": 1}}}',
    '{"parameters": {"a": {"low": 0, "high": 1, "log": true}}}',
    '{"parameters": {"a": {"low": "0", "high": 1}}}',
    '{"parameters": {"a": {"low": 0.5, "high": 1, "whole": true}}}', '{"parameters": {"a": {"values": "x"}}}',
    '{"parameters": {"a": {"values": [1], "when": {"b": 1}}}}',
    '{"parameters": {"a": {"values": [%s 1]}}}' % ("1," * 200),
    '{"parameters": {"a": {"values": ["%s"]}}}' % ("x" * 6000)])
def test_an_address_that_no_jobs_can_be_made_of_says_nothing(blank: Browser, text: str) -> None:
    assert value(blank, "prefill.prefill(given[0])", text) is None


def test_values_are_typed_so_that_they_are_read_as_what_they_are(blank: Browser) -> None:
    given = ["adam", "0.5", "true", "a, b", "1..3", "[1", "x y", "", '"', "null", 0.5, 3, True, None,
             [1, "a"], {"b": [2]}]
    text = json.dumps({"parameters": {"a": {"values": given}}})
    assert value(blank, "grid.values(prefill.prefill(given[0]).rows[0].values)", text) == given


# ---- what charts are drawn with

@pytest.mark.parametrize("expression, expected", [
    ("[0, 5, 10, -5].map(svg.scale([0, 10], [100, 200]))", [100, 150, 200, 50]),
    ("svg.scale([0, 10], [200, 100]).invert(125)", 7.5),
    ("[1, 10, 100].map(svg.scale([1, 100], [0, 10], true))", [0, 5, 10]),
    ("Math.round(svg.scale([1, 100], [0, 10], true).invert(5))", 10),
    ("[svg.scale([3, 3], [0, 10])(3), svg.scale([0, 1], [5, 5]).invert(5)]", [0, 0]),
    ("(({domain, range, log}) => ({domain, range, log}))(svg.scale([0, 1], [2, 3]))",
     {"domain": [0, 1], "range": [2, 3], "log": False}),
    ("svg.ticks(0, 1, 5)", [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ("svg.ticks(-0.3, 0.3, 3)", [-0.2, 0, 0.2]),
    ("svg.ticks(0, 123456, 4)", [0, 50000, 100000]),
    ("svg.ticks(0, 1e-7, 2)", [0, 5e-8, 1e-7]),
    ("[svg.ticks(7, 7), svg.ticks(8, 7), svg.ticks(NaN, 7)]", [[7], [8], ["NaN"]]),
    ("svg.logTicks(0.01, 100)", [0.01, 0.1, 1, 10, 100]),
    ("svg.logTicks(1, 60)", [1, 2, 5, 10, 20, 50]),
    ("svg.logTicks(1, 1e12, 4)", [1, 1e3, 1e6, 1e9, 1e12]),
    ("svg.logTicks(30, 40)", []),
    ("svg.axisX(svg.scale([0, 10], [20, 120]), 50, [0, 5], (mark) => mark + ' s')",
     ('<g class="axis"><line x1="20" x2="120" y1="50.5" y2="50.5"></line>'
      '<text class="tick" x="20" y="66" text-anchor="middle">0 s</text>'
      '<text class="tick" x="70" y="66" text-anchor="middle">5 s</text></g>')),
    ("svg.axisY(svg.scale([0, 10], [100, 0]), 30, 200, [5], String)",
     ('<g class="axis"><line class="grid" x1="30" x2="230" y1="50.5" y2="50.5"></line>'
      '<text class="tick" x="22" y="54.5" text-anchor="end">5</text></g>')),
    ("svg.svg('g', {class: 'a\"b', hidden: null, x: 0, y: false}, '<b>', null)",
     '<g class="a&quot;b" x="0">&lt;b&gt;</g>'),
    ("colours.shades(false).length", 64),
    ("[colours.shades(false)[63], colours.shades(true)[63]]", [[68, 1, 84], [253, 231, 37]]),
    ("[-1, 0, 0.5, 1, 9].map(colours.shadeAt)", [0, 0, 32, 63, 63]),
    ("[colours.css([1, 2, 3]), colours.css([1, 2, 3], 0.5)]", ["rgb(1 2 3)", "rgb(1 2 3 / 0.5)"]),
    ("[[0, 0, 0], [255, 255, 255], [68, 1, 84], [253, 231, 37]].map(colours.inkOn)",
     ["ink-white", "ink-black", "ink-white", "ink-black"]),
])
def test_drawing(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


def test_many_points_are_painted_and_can_be_pointed_at(blank: Browser) -> None:
    painted, circles, opened = value(blank, """(() => {
        const size = 5000, ids = [...Array(size).keys()];
        const found = data.dataOf({metric: "m", total: size, shown: size, ids,
          utmost: [], spread: {min: 0, low: 250, median: 2500, high: 4750, max: 4999},
          values: ids.map((i) => (i * 7919) % size), parameters: {a: ids}, results: {}}, true);
        const box = document.createElement("div");
        document.body.append(box);
        let opened = null;
        scatter.scatter(box, 800, found, found.columns[0], {open: (id) => { opened = id; }});
        const canvas = box.querySelector("canvas"), surface = box.querySelector(".surface");
        const {data: pixels} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (const key of ["ArrowRight", "ArrowRight", "Enter"]) {
          surface.dispatchEvent(new KeyboardEvent("keydown", {key}));
        }
        const circles = box.querySelectorAll("circle.point").length;
        box.remove();
        return [pixels.some((part) => part > 0), circles, opened];
    })()""")
    assert (painted, circles, opened) == (True, 0, 1)


# ---- the history

SO_FAR = {"metric": "loss", "total": 4, "finished": 9, "shown": 4, "nan": 2, "infinite": 0, "without": 2,
        "aborted": 1, "unfinished": 1, "spread": {"min": 0.5, "low": 0.5, "median": 2, "high": 7.7, "max": 8},
        "last_finished": 4000, "all_spent": 7200, "ids": [3, 1, 7, 5], "values": [8, 4, 0.5, 6],
        "at": [100, 200, 400, 3000], "place": [1, 2, 5, 8], "spent": [60, 1800, 3600, 7000],
        "best": [0, 1, 2]}


@pytest.mark.parametrize("expression, expected", [
    ("stairs.along(given[0], 'time')", {"values": [100, 200, 400, 3000], "low": 100, "high": 4000}),
    ("stairs.along(given[0], 'jobs')", {"values": [1, 2, 5, 8], "low": 1, "high": 9}),
    ("stairs.along(given[0], 'hours').values.map((one) => one * 60)", [1, 30, 60, 7000 / 60]),
    ("stairs.upright(given[0], true)", {"low": 0.5, "high": 8, "canLog": True, "log": False}),
    ("stairs.upright({...given[0], total: 51}, true, true)",
     {"low": 0.5, "high": 7.7, "canLog": True, "log": True}),
    # The best is on the axis however far out it is.
    ("stairs.upright({...given[0], total: 51, values: [0, 0, 9, 0]}, false).high", 9),
    ("stairs.corners([10, 20, 40, 60], [8, 4, 1, 6], [0, 1, 2], 70)",
     [[10, 8], [20, 8], [20, 4], [40, 4], [40, 1], [70, 1]]),
    ("stairs.since(given[0])", {"jobs": 4, "seconds": 3600}),
    ("stairs.sinceWords(given[0])", "No better job in the last 4 jobs / 1 h"),
    ("stairs.sinceWords({...given[0], finished: 6})", "No better job in the last job / 1 h"),
    ("stairs.sinceWords({...given[0], finished: 5})", "The last job that finished is the best so far"),
    ("stairs.tally(given[0])",
     "4 of 9 finished jobs have loss: 2 NaN, 2 done without it, 1 aborted without it; 1 with it has not "
     + "finished"),
    ("stairs.tally({...given[0], total: 1, finished: 1, nan: 0, without: 0, aborted: 0, unfinished: 0})",
     "1 of 1 finished job has loss"),
])
def test_the_best_so_far(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression, SO_FAR) == expected


COST = {"wall": [80, 6, 4, 1, 9], "cpu": [160, 12, 8, 0, 18], "gpu": [0, 0, 0, 0, 0], "wasted": 11 / 91,
        "no_cpus": 10, "no_gpus": 25}
KINDS = ["done", "failed", "lost", "returned", "running"]


@pytest.mark.parametrize("expression, expected", [
    ("[0, 0.0004, 0.01234, 12.345, 1234.6].map(costwords.hours)",
     ["0", "< 0.001", "0.0123", "12.3", "1,235"]),
    ("costwords.totals(given[0])", {"wall": 100, "cpu": 198, "gpu": 0}),
    ("costwords.wastedWords(given[0], given[1])",
     "12 % of it was wasted: 7 % failed, 4 % was lost, 1 % was given back"),
    ("costwords.wastedWords({wall: [9, 0, 1, 0, 5], wasted: 0.1}, given[1])", "10 % was lost and was wasted"),
    ("costwords.wastedWords({wall: [9, 0, 0, 0, 5], wasted: 0}, given[1])",
     "Nothing of it failed, was lost or given back"),
    ("costwords.wastedWords({wall: [0, 0, 0, 0, 5], wasted: null}, given[1])", "Nothing has ended yet"),
    ("costwords.unknownWords(given[0]).split(' are ')[0]", "CPUs of 10 % and GPUs of 25 % of the hours"),
    ("costwords.unknownWords({...given[0], no_gpus: 10}).split(' are ')[0]",
     "CPUs and GPUs of 10 % of the hours"),
    ("costwords.unknownWords({...given[0], no_gpus: 0, no_cpus: 0})", ""),
])
def test_cost_in_words(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression, COST, KINDS) == expected


@pytest.mark.parametrize("expression, expected", [
    # Attempts in any order, one that begins before the worker was there and one that ends after it.
    ("spans.gaps([[10, 20], [30, 40]], [[35, 50], [12, 15], [0, 11], [14, 16]])",
     [[11, 12], [16, 20], [30, 35]]),
    ("spans.gaps([[10, 20]], [])", [[10, 20]]),
    ("spans.gaps([[10, 20]], [[10, 20], [15, 15]])", []),
    ("spans.gaps([], [[1, 2]])", []),
    ("spans.zoomed([100, 200], 0.5)", [125, 175]),
    ("spans.zoomed([100, 200], 2, 100)", [100, 300]),
    ("spans.zoomed([100, 102], 0.1, 102)", [101, 102]),  # no shorter than a second
    ("spans.moved([100, 200], -0.5)", [50, 150]),
    ("['node1.example.org_egg_0', 'a_b_egg_12', 'node1.example.org', '10.0.0.7_egg_0'].map(spans.short)",
     ["node1_egg_0", "a_b_egg_12", "node1", "10.0.0.7_egg_0"]),
    ("spans.busyShare({busy: [1, 2, 0, 0, 1], there: 8})", 0.5),
    ("spans.busyShare({busy: [0, 0, 0, 0, 0], there: 0})", "NaN"),
    ("spans.bad({attempts: [9, 2, 3, 4, 5]}, given[1])", 5),
    ("['started', 'heard of again', 'applied pause', 'queued drain'].map(spans.eventKind)",
     ["come", "come", "pause", None]),
    ("['stopped', 'stop from the CLI', 'heartbeat lost', 'found dead', 'left after it'].map(spans.eventKind)",
     ["go"] * 5),
    ("spans.utilisation({workers: 2, hosts: 1, removed: 0, there: 100, busy: [30, 3, 0, 0, 0]}, 0, 7200)",
     "2 workers on 1 host in 2 h, busy 33 % of the time that they were there."),
    ("spans.utilisation({workers: 2, hosts: 1, removed: 1, there: 0, busy: [0]}, 0, 7200).split('.')[1]",
     " 1 of them is no longer in the list: when they were idle is not known, and they do not count here"),
    ("spans.utilisation({workers: 0, hosts: 0, removed: 0, there: 0, busy: [0]}, 0, 60)",
     "No worker was there in this time."),
])
def test_the_timeline(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression, COST, KINDS) == expected


@pytest.mark.parametrize("span, count, step", [
    (50, 6, 15), (600, 6, 300), (7200, 6, 1800), (40000, 6, 10800), (300_000, 5, 86400),
])
def test_marks_of_time_are_round_and_within(blank: Browser, span: float, count: int, step: float) -> None:
    start = 1_700_000_123.5
    marks = value(blank, "timeaxis.timeMarks(given[0], given[1], given[2])", start, start + span, count)
    places = [mark["at"] for mark in marks]
    assert 2 <= len(places) <= count + 1 and start <= places[0] and places[-1] <= start + span
    assert {later - earlier for earlier, later in zip(places, places[1:])} == {step}
    midnights = value(blank, "given[0].map((at) => new Date(at * 1000).getHours() === 0"
                             " && new Date(at * 1000).getMinutes() === 0)", places)
    assert [":" not in mark["text"] for mark in marks] == [
        midnight or step >= 86400 for midnight in midnights]
