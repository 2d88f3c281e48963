"""What an order to many jobs costs, and how long heartbeats wait meanwhile.

Run it as `python tests/bench/bench_bulk.py`; of --jobs jobs each order is to every fifth, which a filter
names. Beside it stand as many bare UPDATEs by id of a table without an index, in one transaction, and for how
long ten jobs that somebody has ticked keep the writer.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import messages, terminal
from jd.server.creation.batch import from_grid
from jd.server.creation.creator import Creator
from jd.server.driving.orders import Orders
from jd.server.experiment import Experiment
from jd.server.store.fleet import workers
from jd.server.store.operators import bulk
from jd.server.store.policy import Policy
from jd.server.store.transaction import Transaction

PARTS = 5  # an order is to one in so many
BEAT = 0.02  # seconds between two heartbeats
TICKED = 10
TRIES = 20
ACTIONS = (bulk.PRIORITISE, bulk.NORMAL, bulk.ABORT, bulk.RETRY, bulk.DELETE, bulk.RESTORE)


def bare(directory: Path, total: int) -> float:
    """Seconds that the same number of UPDATEs takes in a table of its own."""
    db = sqlite3.connect(str(directory / "bare.db"), isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, status TEXT, parameters TEXT, priority INTEGER)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO jobs VALUES (?, 'PENDING', '{\"x\": 1, \"y\": 2, \"part\": 0}', 0)",
                   ((number,) for number in range(total)))
    db.execute("COMMIT")
    began = time.perf_counter()
    db.execute("BEGIN")
    db.executemany("UPDATE jobs SET priority = 1 WHERE id = ?",
                   ((number,) for number in range(0, total, PARTS)))
    db.execute("COMMIT")
    took = time.perf_counter() - began
    db.close()
    return took


async def _beats(experiment: Experiment, waited: List[float]) -> None:
    """The heartbeats of a busy worker, as long as this is not cancelled."""
    beat = messages.Heartbeat.from_json({"worker_id": "w", "session": "s", "reported_status": "busy"})
    while True:
        began = time.perf_counter()
        await experiment.write(lambda t: workers.heartbeat(t, beat))
        waited.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(BEAT)


async def _ticked(experiment: Experiment, action: str, first: int) -> float:
    """Milliseconds that TICKED jobs keep the writer, the median of some tries with others each."""
    took: List[float] = []

    def act(t: Transaction, ids: List[int]) -> None:
        began = time.perf_counter()
        bulk.act(t, action, ids, "")
        took.append((time.perf_counter() - began) * 1e3)

    for number in range(TRIES):
        ids = [first + PARTS * TICKED * number + PARTS * place for place in range(TICKED)]
        await experiment.write(lambda t, ids=ids: act(t, ids))  # type: ignore[misc]
    return statistics.median(took)


async def measured(experiment: Experiment, total: int, actions: Sequence[str]) -> List[List[str]]:
    """A row of the table for each action, in this order."""
    rows: List[List[str]] = []
    grid = {"x": list(range(total // PARTS)), "part": list(range(PARTS))}
    await Creator(experiment).create(from_grid(grid))
    orders = Orders(experiment)
    for action in actions:
        # Jobs of another part, which the order then does not find.
        ticked = await _ticked(experiment, action, 2)
        waited: List[float] = []
        beats = asyncio.ensure_future(_beats(experiment, waited))
        filter_text = "part=0 status=%s" % ",".join(bulk.ELIGIBLE[action])
        began, used = time.perf_counter(), time.process_time()
        done = await orders.asked({"action": action, "filter": filter_text}, "filter", 0, bulk.BY_PROGRAM)
        took, used = time.perf_counter() - began, time.process_time() - used
        beats.cancel()
        waited.sort()
        rows.append([action, str(done["changed"]), "%.1f s" % took, "%.1f s" % used,
                     "%.1f ms" % waited[len(waited) * 99 // 100], "%.1f ms" % waited[-1], "%.2f ms" % ticked])
        print(*rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--action", action="append", choices=ACTIONS, help="only this one; may be repeated")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        experiment = Experiment(Path(directory), "bulk", Policy())
        try:
            rows = asyncio.run(measured(experiment, given.jobs, given.action or ACTIONS))
        finally:
            experiment.close()
        seconds = bare(Path(directory), given.jobs)
    for row in rows:
        row.insert(4, "%.0f" % (float(row[2].split()[0]) / seconds))
    for line in terminal.table(["order", "jobs", "takes", "CPU", "to bare", "heartbeats p99", "longest",
                                "%d ticked" % TICKED], rows, (1, 2, 3, 4, 5, 6, 7)):
        print(line)


if __name__ == "__main__":
    main()
