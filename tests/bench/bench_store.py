"""The store's decisions, each beside its alternative in one run:

- group commit against one transaction for each operation;
- claims and the counts with 1,000 jobs against 1,000,000 (--jobs N), half of which need things of their
  workers.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import terminal
from jd.server.creation.batch import from_grid
from jd.server.store.operators.batches import Terms
from jd.server.store.pages import joblist
from jd.server.store.queue import claim, jobs
from jd.storage import database
from tests.server.store_support import Desk

ROUNDS = 5
OPERATIONS = 300
LISTS = 20  # different lists of what jobs need; a worker has all of half of them


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


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


def compare(name: str, first: List[float], second: List[float], scale: float, unit: str) -> List[str]:
    a, b = statistics.median(first) * scale, statistics.median(second) * scale
    return [name, "%.3f %s" % (a, unit), "%.3f %s" % (b, unit), "%.1f" % (b / a)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(",")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    total = parser.parse_args().jobs
    rows: List[List[str]] = []
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory))
        fill(desk, 10_000)
        grouped: List[float] = []
        single: List[float] = []
        for _ in range(ROUNDS):
            grouped.append(timed(lambda: claims_at_once(desk)))
            single.append(timed(lambda: one_by_one(desk)))
        rows.append(compare("durable claims: grouped / one commit each", grouped, single,
                            1e6 / OPERATIONS, "us"))
        desk.database.close()
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        few, many = Desk(Path(small)), Desk(Path(large))
        fill_with_needs(few, 1_000)
        seconds = timed(lambda: fill_with_needs(many, total))
        pairs: Dict[str, Callable[[Desk], object]] = {
            "counts": lambda desk: desk.read(jobs.counts),
            "a claim without tags": lambda desk: desk.write(lambda t: claim.claim(t, "w", None)),
            "a claim with needs": lambda desk: desk.write(lambda t: claim.claim(t, "able", None)),
            "first page": lambda desk: desk.read(
                lambda db: joblist.select(db, joblist.JobQuery(status="PENDING")))}
        for name, action in pairs.items():
            times: List[List[float]] = [[], []]
            for _ in range(20):
                for store, kept in zip((few, many), times):
                    kept.append(timed(lambda: action(store)))
            rows.append(compare("{}: 1,000 / {:,} jobs".format(name, total), times[0], times[1], 1e3, "ms"))
        few.database.close()
        many.database.close()
    for line in terminal.table(["median of", "first", "second", "second/first"], rows, (1, 2, 3)):
        print(line)
    print("creating {:,} jobs: {:.1f} s".format(total, seconds))


if __name__ == "__main__":
    main()
