"""What an order to many jobs costs, and how long heartbeats wait meanwhile.

Of --jobs jobs each order is to every fifth, which a filter names. Beside it stand as many bare UPDATEs by id
of a table without an index, in one transaction, and for how long ten jobs that somebody has ticked keep the
writer. All orders together leave the jobs as they were.
"""

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import messages
from jd.server.creation.batch import from_grid
from jd.server.creation.creator import Creator
from jd.server.driving.orders import Orders
from jd.server.experiment import Experiment
from jd.server.store.fleet import workers
from jd.server.store.operators import bulk
from jd.server.store.policy import Policy
from jd.server.store.transaction import Transaction
from tests.bench.measuring import most_of, timed
from tests.bench.rows import Row, arguments, finish, paired

PARTS = 5  # an order is to one in so many
BEAT = 0.02  # seconds between two heartbeats
TICKED = 10
TRIES = 20
ACTIONS = (bulk.PRIORITISE, bulk.NORMAL, bulk.ABORT, bulk.RETRY, bulk.DELETE, bulk.RESTORE)


class Order(NamedTuple):
    """How many jobs it has changed, seconds that it took by the clock and of the processor, and that bare
    UPDATEs took; and the milliseconds that each heartbeat waited, and that ticked jobs kept the writer."""

    changed: int
    wall: float
    cpu: float
    bare: float
    waited: List[float]
    ticked: float


class Bare:
    """So many jobs in a table of their own."""

    def __init__(self, directory: Path, total: int) -> None:
        self._total = total
        self._db = sqlite3.connect(str(directory / "bare.db"), isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, status TEXT, parameters TEXT, priority INTEGER)")
        self._all("INSERT INTO jobs VALUES (?, 'PENDING', '{\"x\": 1, \"y\": 2, \"part\": 0}', 0)", 1)

    def update(self) -> float:
        """Seconds for one in PARTS of them."""
        return timed(lambda: self._all("UPDATE jobs SET priority = priority + 1 WHERE id = ?", PARTS))

    def close(self) -> None:
        self._db.close()

    def _all(self, statement: str, step: int) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(statement, ((number,) for number in range(0, self._total, step)))
        self._db.execute("COMMIT")


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


async def ordered(experiment: Experiment, action: str, beside: Bare) -> Order:
    """One order."""
    # Jobs of another part, which the order then does not find.
    ticked = await _ticked(experiment, action, 2)
    bare = beside.update()
    waited: List[float] = []
    beats = asyncio.ensure_future(_beats(experiment, waited))
    filter_text = "part=0 status=%s" % ",".join(bulk.ELIGIBLE[action])
    began, used = time.perf_counter(), time.process_time()
    done = await Orders(experiment).asked({"action": action, "filter": filter_text}, "filter", 0,
                                          bulk.BY_PROGRAM)
    took, used = time.perf_counter() - began, time.process_time() - used
    beats.cancel()
    return Order(int(done["changed"]), took, used, bare, waited, ticked)


async def measured(experiment: Experiment, beside: Bare, total: int, rounds: int,
                   actions: List[str]) -> Dict[str, List[Order]]:
    """Each action, in this order, once in a round."""
    found: Dict[str, List[Order]] = {action: [] for action in actions}
    grid = {"x": list(range(total // PARTS)), "part": list(range(PARTS))}
    await Creator(experiment).create(from_grid(grid))
    for _ in range(rounds):
        for action, orders in found.items():
            orders.append(await ordered(experiment, action, beside))
    return found


def rows_of(action: str, orders: List[Order], total: int) -> List[Row]:
    """What one order takes."""
    name = "%s %d of %d jobs" % (action, orders[0].changed, total)
    waited = [one for order in orders for one in order.waited]
    return [
        Row(name, "× bare UPDATEs", paired([one.wall for one in orders], [one.bare for one in orders])),
        Row(name + ", by the clock", "s", [one.wall for one in orders], 10.0,
            seen="%.1f s of the processor" % min(one.cpu for one in orders)),
        Row(name + ", longest heartbeat", "ms", [max(one.waited) for one in orders if one.waited], 100.0,
            seen="99 of 100 within %.1f ms" % most_of(waited)),
        Row("%s %d ticked jobs" % (action, TICKED), "ms", [one.ticked for one in orders], 5.0)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--action", action="append", choices=ACTIONS, help="only this one; may be repeated")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        beside = Bare(Path(directory), given.jobs)
        experiment = Experiment(Path(directory), "bulk", Policy())
        try:
            found = asyncio.run(measured(experiment, beside, given.jobs, given.rounds,
                                         given.action or list(ACTIONS)))
        finally:
            experiment.close()
            beside.close()
    finish([row for action, orders in found.items() for row in rows_of(action, orders, given.jobs)],
           given.json)


if __name__ == "__main__":
    main()
