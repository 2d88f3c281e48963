"""The store's decisions, each beside its alternative in one run:

- group commit against one transaction for each operation;
- claims and the counts with 1,000 jobs against 1,000,000 (--jobs N), half of which need things of their
  workers.
"""

import statistics
import sys
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.server.creation.batch import from_grid
from jd.server.store.operators.batches import Terms
from jd.server.store.pages import joblist
from jd.server.store.queue import claim, jobs
from jd.storage import database
from tests.bench.measuring import in_turn, timed
from tests.bench.rows import Row, arguments, finish, paired
from tests.server.store_support import Desk

ROUNDS = 5
LOOKS = 20
OPERATIONS = 300
LISTS = 20  # different lists of what jobs need; a worker has all of half of them


def claims_at_once(desk: Desk) -> None:
    def begin(number: int) -> "Future[Any]":
        return desk.submit(lambda t: claim.claim(t, "w%d" % number, None))

    futures = [begin(number) for number in range(OPERATIONS)]
    for future in futures:
        future.result()


def fill(desk: Desk, total: int) -> None:
    side = round(total ** 0.5)
    grid = {"x": list(range(side)), "y": list(range(side))}
    desk.add(from_grid(grid))


def fill_with_needs(desk: Desk, total: int) -> None:
    """Half of the jobs need nothing, the others are of LISTS kinds. Enters a worker w that has nothing and
    one that is able to run half of the kinds."""
    fill(desk, total // 2)
    for number in range(LISTS):
        jobs_of_kind = from_grid({"z": list(range(total // 2 // LISTS))})
        desk.add(jobs_of_kind._replace(terms=Terms(needs=("gpu", "kind%d" % number), priority=number % 2)))
    desk.beat("w")
    desk.beat("able", tags=["gpu", *("kind%d" % number for number in range(LISTS // 2))])


def one_by_one(desk: Desk) -> None:
    group, database.MAX_GROUP = database.MAX_GROUP, 1
    try:
        claims_at_once(desk)
    finally:
        database.MAX_GROUP = group


# How many times as long it may take with many jobs as with 1,000, and what it is.
ACTIONS: Dict[str, Tuple[Optional[float], Callable[[Desk], object]]] = {
    "counts": (2.0, lambda desk: desk.read(jobs.counts)),
    "a claim without tags": (1.2, lambda desk: desk.write(lambda t: claim.claim(t, "w", None))),
    "a claim with needs": (1.2, lambda desk: desk.write(lambda t: claim.claim(t, "able", None))),
    "first page of GET /api/jobs": (2.0, lambda desk: desk.read(
        lambda db: joblist.select(db, joblist.JobQuery(status="PENDING"))))}


def groups(directory: Path) -> Row:
    """Claims that are committed together, and by themselves."""
    desk = Desk(directory)
    fill(desk, 10_000)
    grouped, single = in_turn(ROUNDS, lambda: claims_at_once(desk), lambda: one_by_one(desk))
    desk.database.close()
    return Row("durable claim, one commit each", "× committed in groups", paired(single, grouped),
               seen="%.0f and %.0f µs" % tuple(statistics.median(one) * 1e6 / OPERATIONS
                                               for one in (single, grouped)))


def compare(few: Desk, many: Desk, total: int) -> List[Row]:
    """With 1,000 jobs, and with so many."""
    found = []
    for name, (most, action) in ACTIONS.items():
        less, more = in_turn(LOOKS, lambda: action(few), lambda: action(many))
        found.append(Row("%s, %d jobs" % (name, total), "× 1,000 jobs", paired(more, less), most,
                         seen="%.2f and %.2f ms" % (statistics.median(more) * 1e3,
                                                    statistics.median(less) * 1e3)))
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="(%(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = [groups(Path(directory))]
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        few, many = Desk(Path(small)), Desk(Path(large))
        fill_with_needs(few, 1_000)
        seconds = timed(lambda: fill_with_needs(many, given.jobs))
        rows += compare(few, many, given.jobs)
        few.database.close()
        many.database.close()
    print("%d jobs were made in %.1f s" % (given.jobs, seconds))
    finish(rows, given.json)


if __name__ == "__main__":
    main()
