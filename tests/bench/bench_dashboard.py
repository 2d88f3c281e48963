"""The table of jobs with 1,000,000 jobs (--jobs N) beside the same with 1,000.

Run it as `python tests/bench/bench_dashboard.py`; what it makes is in a temporary directory.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import terminal
from jd.server.creation.batch import from_grid
from jd.server.store.operators import batches, bulk
from jd.server.store.pages import joblist, jobtable
from jd.server.store.queue import claim, jobs
from jd.server.store.search import conditions, scanning
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


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def page(desk: Desk, text: str = "", sort: str = "id",
         after: Optional[jobtable.Cursor] = None) -> jobtable.TablePage:
    return desk.read(lambda db: jobtable.page(
        db, conditions.compiled(db, text, desk.now), jobtable.order(db, sort), after, 50))


def count(desk: Desk, text: str) -> scanning.Counted:
    return desk.read(lambda db: scanning.count(db, conditions.compiled(db, text, desk.now)))


def deep(desk: Desk) -> jobtable.TablePage:
    last = desk.read(jobs.last_id)
    return page(desk, after=jobtable.Cursor(None, last * 9 // 10))


LOOKS: Dict[str, Callable[[Desk], object]] = {
    "first page": page,
    "deep page": deep,
    "sort by parameter": lambda desk: page(desk, sort="-seed"),
    "sort by parameter, filtered": lambda desk: page(desk, "opt=sgd lr<0.5", "seed"),
    "filter with few matches": lambda desk: page(desk, "lr=0 seed=1 opt=sgd"),
    "text with no match (one step)": lambda desk: page(desk, "nowhere"),
    "count (one step)": lambda desk: count(desk, "opt=sgd lr<0.5"),
    "deep page of GET /api/jobs": lambda desk: desk.read(
        lambda db: joblist.select(db, joblist.JobQuery(page=jobs.last_id(db) * 9 // 500))),
    "claim": lambda desk: desk.write(lambda t: claim.claim(t, "w", None)),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    total = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        few, many = Desk(Path(small)), Desk(Path(large))
        create(few, 1_000)
        created = create(many, total)
        rows: List[List[str]] = []
        for name, look in LOOKS.items():
            times: List[List[float]] = [[], []]
            for _ in range(ROUNDS):
                for desk, kept in zip((few, many), times):
                    kept.append(timed(lambda: look(desk)))
            rows.append([name, *("%.2f ms" % (statistics.median(kept) * 1e3) for kept in times)])
        rows.append(["delete a tenth, for each job",
                     *("%.3f ms" % (delete_tenth(desk) * 1e3) for desk in (few, many))])
        few.database.close()
        many.database.close()
    for line in terminal.table(["median of", "1,000 jobs", "{:,} jobs".format(total)], rows, (1, 2)):
        print(line)
    print("creating {:,} jobs: {:.1f} s, the longest slice {:.0f} ms".format(
        total, created.seconds, created.longest * 1e3))


if __name__ == "__main__":
    main()
