"""The Results page of 300,000 finished jobs (--jobs N) beside that of 1,000: from the click to the paint.

It needs chromium and chromedriver. Run it as `python tests/bench/bench_results.py`; what it makes is in a
temporary directory.
"""

import itertools
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.server.creation.batch import from_list
from jd.server.experiment import Experiment
from jd.server.store.operators import batches
from jd.server.store.policy import Policy
from jd.server.store.search import values
from jd.server.store.transaction import Transaction
from tests.bench.rows import Row, arguments, finish
from tests.browser.dashboard_support import DESKTOP, Dashboard, sign_in
from tests.browser.webdriver import CHROMEDRIVER, CHROMIUM, Browser
from tests.e2e.processes import EXPERIMENT

FEW = 1_000
SLICE = 2_000  # jobs in one transaction
CLICKS = 5
SHAPES = ((4, 1), (4, 5), (25, 5), (25, 30))  # parameters and metrics of a job
WITHIN = 1_000  # milliseconds to the leaderboard
Job = Tuple[Dict[str, Any], Dict[str, float]]

# Time is taken in the page: two frames after the leaderboard, or all plots, stand in the document.
CLICK = """
const from = performance.now(), painted = window.painted = {};
const note = (name) => requestAnimationFrame(() => requestAnimationFrame(() => {
  painted[name] = performance.now() - from;
}));
const look = () => {
  const first = document.querySelector(".plot-leaders tbody tr");
  if (first && !look.first) note("first");
  look.first = first;
  const all = ["metric", "heat", "parallel"].every((name) => document.querySelector(`.plot-${name} svg`));
  if (first && all) note("all"); else requestAnimationFrame(look);
};
document.querySelector('.nav a[href="/results"]').click();
look();
"""


def measure(jobs: int, parameters: int, metrics: int) -> List[Dict[str, float]]:
    """Of each click, milliseconds to the `first` paint, which has the leaderboard, and to `all` plots.

    Each click finds other jobs than the one before, so that nothing is answered from memory.
    """
    seen: List[Dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        _make(directory / "server", jobs, parameters, metrics)
        with Dashboard(directory) as server, Browser(directory) as browser:
            browser.size(*DESKTOP)
            sign_in(browser, server)
            for _ in range(CLICKS):
                server.create_jobs([{"lr": 0.5}])
                browser.go(server.page + "/jobs")
                browser.wait("document.querySelectorAll('tbody tr').length > 0")
                browser.run(CLICK)
                browser.wait("window.painted.first && window.painted.all")
                seen.append(browser.run("return window.painted"))
            server.stop()
    return seen


def _make(workspace: Path, total: int, parameters: int, metrics: int) -> None:
    experiment = Experiment(workspace, EXPERIMENT, Policy())
    jobs, start = _jobs(total, parameters, metrics), experiment.write_now(batches.begin)
    next_id = start
    while True:
        part = list(itertools.islice(jobs, SLICE))
        if not part:
            break
        texts = list(from_list([given for given, _ in part]).texts())
        experiment.write_now(lambda t: batches.add(t, next_id, texts))
        experiment.write_now(lambda t: _finish(t, next_id, [found for _, found in part]))
        next_id += len(part)
    experiment.write_now(lambda t: batches.publish(t, start, total))
    experiment.close()


def _finish(t: Transaction, first: int, results: List[Dict[str, float]]) -> None:
    t.db.executemany("UPDATE jobs SET status = 'DONE', results = ? WHERE id = ?",
                     [(json.dumps(found), first + at) for at, found in enumerate(results)])
    values.put(t, values.RESULT, [(first + at, found) for at, found in enumerate(results)])


def _jobs(total: int, parameters: int, metrics: int) -> Iterator[Job]:
    chance = random.Random(7)
    for number in range(total):
        given: Dict[str, Any] = {
            "lr": 10 ** chance.uniform(-5, -1), "opt": chance.choice(["adam", "sgd", "lion"]),
            "depth": chance.choice([2, 4, 8, 16]), "seed": number}
        given.update(("p%d" % at, chance.random()) for at in range(4, parameters))
        found = {"loss": given["lr"] * given["depth"] * chance.lognormvariate(0, 0.5)}
        found.update(("m%d" % at, chance.random()) for at in range(1, metrics))
        yield given, found


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=300_000)
    given = parser.parse_args()
    if not (CHROMIUM and CHROMEDRIVER):
        print("chromium and chromedriver are not installed: the Results page is not measured")
        finish([], given.json)
        return 0
    rows: List[Row] = []
    for parameters, metrics in SHAPES:
        shape = "%d parameters, %d metrics, " % (parameters, metrics)
        few, many = (measure(jobs, parameters, metrics) for jobs in (FEW, given.jobs))
        for what, name, most in (("leaderboard", "first", WITHIN), ("all plots", "all", None)):
            rows += [Row("Results, %s%s of %d jobs" % (shape, what, jobs), "ms", [one[name] for one in seen],
                         most=most) for jobs, seen in ((FEW, few), (given.jobs, many))]
    finish(rows, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
