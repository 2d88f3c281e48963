"""The store's decisions, each beside its alternative in one run:

- group commit against one transaction for each operation;
- a claim and the counts with 1,000 jobs against 1,000,000.
"""

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
from jd.server.store.pages import joblist
from jd.server.store.queue import claim, jobs
from jd.storage import database
from tests.server.store_support import Desk

ROUNDS = 5
OPERATIONS = 300


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def claims_at_once(desk: Desk) -> None:
    def begin(number: int) -> "Future[Any]":
        return desk.database.write(lambda db: claim.claim(desk.transaction(db), "w%d" % number, None))

    futures = [begin(number) for number in range(OPERATIONS)]
    for future in futures:
        future.result()


def fill(desk: Desk, total: int) -> None:
    side = round(total ** 0.5)
    grid = {"x": list(range(side)), "y": list(range(side))}
    desk.add(from_grid(grid))


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
        fill(few, 1_000)
        seconds = timed(lambda: fill(many, 1_000_000))
        pairs: Dict[str, Callable[[Desk], object]] = {
            "counts": lambda desk: desk.read(jobs.counts),
            "one claim": lambda desk: desk.write(lambda t: claim.claim(t, "w", None)),
            "first page": lambda desk: desk.read(
                lambda db: joblist.select(db, joblist.JobQuery(status="PENDING")))}
        for name, action in pairs.items():
            times: List[List[float]] = [[], []]
            for _ in range(20):
                for store, kept in zip((few, many), times):
                    kept.append(timed(lambda: action(store)))
            rows.append(compare(name + ": 1,000 / 1,000,000 jobs", times[0], times[1], 1e3, "ms"))
        few.database.close()
        many.database.close()
    for line in terminal.table(["median of", "first", "second", "second/first"], rows, (1, 2, 3)):
        print(line)
    print("creating 1,000,000 jobs: %.1f s" % seconds)


if __name__ == "__main__":
    main()
