"""The Results page of 300,000 finished jobs (--jobs N) beside that of 1,000: from the click to the paint.

It needs chromium and chromedriver. What it makes is in a temporary directory.
"""

import itertools
import json
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.server.creation.batch import from_list
from jd.server.experiment import Experiment
from jd.server.store.operators import batches
from jd.server.store.policy import Policy
from jd.server.store.queue.jobs import CHANGED, moved
from jd.server.store.search import values
from jd.server.store.transaction import Transaction
from tests.bench.rows import Row, arguments, finish, paired
from tests.browser.dashboard_support import DESKTOP, Dashboard, sign_in
from tests.browser.webdriver import CHROMEDRIVER, CHROMIUM, Browser
from tests.e2e.processes import EXPERIMENT

FEW = 1_000
SLICE = 2_000  # jobs in one transaction
CLICKS = 5
WITHIN = 1_000  # milliseconds to the leaderboard
Job = Tuple[Dict[str, Any], Dict[str, float]]


class Shape(NamedTuple):
    """How many of each a job has."""

    parameters: int
    metrics: int


class Painted(NamedTuple):
    """Milliseconds from a click to the first paint, which has the leaderboard, and to that of all plots."""

    first: float
    all: float


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


def measure(counts: Sequence[int], shape: Shape) -> List[List[Painted]]:
    """For each number of jobs what each click has painted, in turn.

    Each click finds other jobs than the one before, so that nothing is answered from memory.
    """
    found: List[List[Painted]] = [[] for _ in counts]
    with ExitStack() as stack:
        sides = []
        for jobs in counts:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _make(directory / "server", jobs, *shape)
            sides.append((stack.enter_context(Dashboard(directory)), stack.enter_context(Browser(directory))))
        for server, browser in sides:
            browser.size(*DESKTOP)
            sign_in(browser, server)
        for _ in range(CLICKS):
            for (server, browser), seen in zip(sides, found):
                seen.append(click(server, browser))
        for server, _ in sides:
            server.stop()
    return found


def click(server: Dashboard, browser: Browser) -> Painted:
    """One click on Results, on the page of jobs."""
    server.create_jobs([{"lr": 0.5}])
    browser.go(server.page + "/jobs")
    browser.wait("document.querySelectorAll('tbody tr').length > 0")
    browser.run(CLICK)
    browser.wait("window.painted.first && window.painted.all")
    return Painted(**browser.run("return window.painted"))


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
    t.db.executemany("UPDATE jobs SET status = 'DONE', results = ?, %s WHERE id = ?" % CHANGED,
                     [(json.dumps(found), first + at) for at, found in enumerate(results)])
    moved(t, "PENDING", "DONE", len(results))
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


def rows_of(shape: Shape, jobs: int, few: List[Painted], many: List[Painted]) -> List[Row]:
    """Of so many jobs, and of few."""
    made = []
    for what, field, most in (("leaderboard", 0, WITHIN), ("all plots", 1, None)):
        name = "Results, %d parameters, %d metrics, %d jobs: %s" % (*shape, jobs, what)
        more, less = ([one[field] for one in side] for side in (many, few))
        made += [Row(name, "ms", more, most),
                 Row(name, "× %d jobs" % FEW, paired(more, less),
                     seen="%.0f ms there" % statistics.median(less))]
    return made


def shape_of(text: str) -> Shape:
    """4x5, as a number of parameters and of metrics. Raises ValueError."""
    parameters, metrics = map(int, text.split("x"))
    return Shape(parameters, metrics)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=300_000, help="(%(default)s)")
    parser.add_argument("--shape", type=shape_of, action="append", metavar="PARAMETERSxMETRICS",
                        help="of a job, as 4x1 or 25x30; may be repeated (4x5)")
    given = parser.parse_args()
    if not (CHROMIUM and CHROMEDRIVER):
        print("not measured: chromium and chromedriver are not installed")
        finish([], given.json)
        return 0
    finish([row for shape in given.shape or [Shape(4, 5)]
            for row in rows_of(shape, given.jobs, *measure((FEW, given.jobs), shape))], given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
