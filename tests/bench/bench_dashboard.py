"""The table of jobs with 1,000,000 jobs (--jobs N) beside the same with 1,000.

Run it as `python tests/bench/bench_dashboard.py`; what it makes is in a temporary directory.
"""

import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.server.creation.batch import from_grid
from jd.server.store.operators import batches, bulk
from jd.server.store.pages import joblist, jobtable
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, scanning
from tests.bench.measuring import in_turn, timed
from tests.bench.rows import Row, arguments, finish, paired
from tests.server.store_support import Desk

ROUNDS = 15
OPTIMISERS = ["adam", "sgd", "lamb", "lion", "rmsprop", "adagrad", "adamw", "nadam", "lbfgs", "sophia"]


class Created(NamedTuple):
    seconds: float
    longest: float  # seconds that a worker waits behind a slice


def create(desk: Desk, total: int) -> Created:
    """Jobs with three parameters, in slices as the server makes them."""
    side = max(1, round((total / len(OPTIMISERS)) ** 0.5))
    batch = from_grid({"lr": [number / side for number in range(side)], "opt": OPTIMISERS,
                               "seed": list(range(side))})
    started, longest = time.perf_counter(), 0.0
    next_id, texts = desk.write(batches.begin), batch.texts()
    start_id = next_id
    while True:
        part = list(itertools.islice(texts, batches.SLICE))
        if not part:
            break
        longest = max(longest, timed(lambda: desk.write(lambda t: batches.add(t, next_id, part))))
        next_id += len(part)
    desk.write(lambda t: batches.publish(t, start_id, batch.total))
    return Created(time.perf_counter() - started, longest)


def page(desk: Desk, text: str = "", sort: str = "id",
         after: Optional[jobtable.Cursor] = None) -> jobtable.TablePage:
    return desk.read(lambda db: jobtable.page(
        db, conditions.compiled(db, text, desk.now), jobtable.order(db, sort), after, 50))


def count(desk: Desk, text: str) -> scanning.Counted:
    return desk.read(lambda db: scanning.count(db, conditions.compiled(db, text, desk.now)))


def deep(desk: Desk) -> jobtable.TablePage:
    last = desk.read(jobs.last_id)
    return page(desk, after=jobtable.Cursor(None, last * 9 // 10))


# How many times as long it may take with many jobs as with 1,000, and what it is.
LOOKS: Dict[str, Tuple[Optional[float], Callable[[Desk], object]]] = {
    "first page": (2.0, page),
    "deep page": (None, deep),
    "sort by parameter": (None, lambda desk: page(desk, sort="-seed")),
    "sort by parameter, filtered": (None, lambda desk: page(desk, "opt=sgd lr<0.5", "seed")),
    "filter with few matches": (2.0, lambda desk: page(desk, "lr=0 seed=1 opt=sgd")),
    "text with no match (one step)": (None, lambda desk: page(desk, "nowhere")),
    "count (one step)": (None, lambda desk: count(desk, "opt=sgd lr<0.5")),
    "deep page of GET /api/jobs": (None, lambda desk: desk.read(
        lambda db: joblist.select(db, joblist.JobQuery(page=jobs.last_id(db) * 9 // 500)))),
}


def delete_tenth(desk: Desk) -> float:
    """Seconds for each job, deleting by a filter in slices."""
    up_to, changed, started = desk.read(jobs.last_id), 0, time.perf_counter()
    for part in bulk.passes(bulk.DELETE):
        after: Optional[int] = 0
        while after is not None:
            found = desk.read(lambda db: bulk.candidates(
                db, conditions.compiled(db, "opt=sgd", desk.now), part, after or 0, up_to))
            changed += desk.write(lambda t: bulk.act(t, bulk.DELETE, found.ids, "bench"))
            after = found.next
    return (time.perf_counter() - started) / max(1, changed)


def row(name: str, total: int, most: Optional[float], more: List[float], less: List[float]) -> Row:
    """Seconds with so many jobs, and with 1,000."""
    return Row("%s, %d jobs" % (name, total), "× 1,000 jobs", paired(more, less), most,
               seen="%.2f and %.2f ms" % (statistics.median(more) * 1e3, statistics.median(less) * 1e3))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="(%(default)s)")
    given = parser.parse_args()
    rows: List[Row] = []
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        few, many = Desk(Path(small)), Desk(Path(large))
        create(few, 1_000)
        created = create(many, given.jobs)
        for name, (most, look) in LOOKS.items():
            less, more = in_turn(ROUNDS, lambda: look(few), lambda: look(many))
            rows.append(row(name, given.jobs, most, more, less))
        less, more = ([delete_tenth(desk)] for desk in (few, many))
        rows.append(row("delete a tenth, for each job", given.jobs, None, more, less))
        few.database.close()
        many.database.close()
    print("%d jobs were made in %.1f s, the longest slice took %.0f ms" % (
        given.jobs, created.seconds, created.longest * 1e3))
    finish(rows, given.json)


if __name__ == "__main__":
    main()
