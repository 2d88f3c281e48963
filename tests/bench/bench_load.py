"""A full server: 9,000 waiting workers and 1,000 busy ones, and then 200 slow-loris and 100 dashboards as
well, while jobs are made.

Run it as `python tests/bench/bench_load.py`, ten minutes long with `--seconds 600`. Waiting workers hold a
heartbeat for 180 s, busy ones for 57 s. It ends with status 1 if anything was answered with an error or a
connection was lost. What it makes is in a temporary directory.
"""

import argparse
import asyncio
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Awaitable, Callable, Dict, List, NamedTuple, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.bench_viewers import PIN, sign_in
from tests.bench.load import Clients, Seen
from tests.bench.measuring import cpu_seconds, may_open, most_of, sizes
from tests.bench.rows import Row, arguments, finish
from tests.e2e.processes import Server

RAMP = 300  # connections that begin in a second
RAMP_PATIENCE = 180.0  # seconds until all are in
SETTLE = 5.0  # more, in which the server answers what has waited meanwhile
MOST_OF = 0.95  # of them: some are between two heartbeats, or run a job
SAMPLE = 2.5  # seconds


class Sample(NamedTuple):
    """Percent of a processor that the server has used for some seconds, and MB of memory that it has then."""

    cpu: float
    memory: float


class Load:
    """All clients of a server, and what they and the server are seen to do."""

    def __init__(self, server: Server, clients: Clients, seen: Seen) -> None:
        self.seen = seen
        self.clients = clients
        self._server = server
        self._tasks: List["asyncio.Future[None]"] = []

    async def begin(self, kind: str, act: Callable[[int], Awaitable[None]], count: int) -> None:
        """So many more do this."""
        for number in range(count):
            self._tasks.append(asyncio.ensure_future(self._noted(kind, act, number)))
            if number % 30 == 29:
                await asyncio.sleep(30 / RAMP)

    async def all_in(self, **wanted: int) -> None:
        """Wait until so many connections of each kind are there, or something fails."""
        began = time.monotonic()
        while time.monotonic() - began < RAMP_PATIENCE and not self.seen.errors and not all(
                self.seen.open[kind] >= count * MOST_OF for kind, count in wanted.items()):
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLE)

    async def watch(self, seconds: float) -> List[Sample]:
        """So long, or until something fails."""
        pid, found = self._server.popen.pid, []
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._server.popen.poll() is None and not self.seen.errors:
            began, used = time.monotonic(), cpu_seconds(pid)
            await asyncio.sleep(min(SAMPLE, seconds))
            found.append(Sample(100 * (cpu_seconds(pid) - used) / (time.monotonic() - began),
                                sizes(pid, "status").get("VmRSS", math.nan) / 1000))
        return found

    async def end(self) -> None:
        """All go away. One whose answer comes in this moment may miss that it is to end: `wait_for` of
        Python before 3.12 gives it the answer then."""
        self.seen.since = math.inf
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            left = (await asyncio.wait(left, timeout=1.0))[1]
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _noted(self, kind: str, act: Callable[[int], Awaitable[None]], number: int) -> None:
        try:
            await act(number)
        except (OSError, ValueError, LookupError, EOFError, asyncio.TimeoutError) as error:
            self.seen.error(kind, "%s %s" % (type(error).__name__, error))


async def run(server: Server, given: argparse.Namespace, seen: Seen) -> List[Row]:
    """Bring the workers in, then all others, and tell what was seen."""
    page = server.ready["dashboard_url"]
    cookie = await asyncio.get_running_loop().run_in_executor(None, sign_in, page)
    clients = Clients(server.port, int(page.rstrip("/").rpartition(":")[2]), cookie, seen, given.seed)
    load = Load(server, clients, seen)
    await load.begin("busy", clients.busy, given.busy)
    await load.begin("idle", clients.idle, given.held)
    await load.all_in(busy=given.busy, idle=given.held)
    quiet = await load.watch(given.quiet)
    await load.begin("slow-loris", clients.loris, given.loris)
    await load.begin("dashboard", clients.viewer, given.viewers)
    await load.begin("create", lambda _: clients.create(given.jobs), 1 if given.jobs else 0)
    await load.all_in()
    seen.since, done, events = time.monotonic(), seen.finished, seen.events
    full = await load.watch(given.seconds)
    await load.end()
    print("%d jobs were done, %d events sent, %d slow-loris cut off" % (
        seen.finished - done, seen.events - events, seen.cut_off))
    return rows_of(given, quiet, full, seen)


def rows_of(given: argparse.Namespace, quiet: List[Sample], full: List[Sample], seen: Seen) -> List[Row]:
    """The server's processor and memory, and what clients waited."""
    found = []
    for name, samples, cpu, memory in (
            ("%d connections at the specified intervals" % (given.held + given.busy), quiet, 4.0, 183.0),
            ("full server", full, None, None)):
        found += [Row(name + ", processor", "% of one", [one.cpu for one in samples], cpu),
                  Row(name + ", memory", "MB", [one.memory for one in samples], memory)]
    fifth = max(1, len(full) // 5)
    ends = [[one.memory for one in part] for part in (full[:fifth], full[-fifth:])]
    if full:
        found.append(Row("full server, memory at last", "× at first",
                         [statistics.mean(ends[1]) / statistics.mean(ends[0])], 1.1))
    for what, times in (("pickup of a job", seen.pickup), ("heartbeat, answered at once", seen.beats),
                        ("held heartbeat, after its time", seen.late),
                        ("table of a dashboard", seen.pages)):
        if times:
            found.append(Row("full server, " + what, "ms", [1000 * one for one in times],
                             seen="99 of 100 within %.0f ms" % (1000 * most_of(times))))
    return found


def faults(seen: Seen, given: argparse.Namespace) -> List[str]:
    """What must not be."""
    found = ["%d times %s" % (count, what) for what, count in seen.errors.items()]
    wanted: Dict[str, Sequence[float]] = {}
    if given.held and given.jobs:
        wanted["pickup"] = seen.pickup
    if given.viewers:
        wanted["page"] = seen.pages
    return found + ["no %s was seen" % name for name, times in wanted.items() if not times]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--quiet", type=float, default=15.0, metavar="SECONDS",
                        help="with workers alone (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="with all others (%(default)s)")
    parser.add_argument("--held", type=int, default=9000, help="workers that wait for jobs (%(default)s)")
    parser.add_argument("--busy", type=int, default=1000, help="workers with a job (%(default)s)")
    parser.add_argument("--loris", type=int, default=200,
                        help="connections that send a byte a second (%(default)s)")
    parser.add_argument("--viewers", type=int, default=100, help="open dashboards (%(default)s)")
    parser.add_argument("--jobs", type=int, default=20, help="that are made each second (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of when each begins (%(default)s)")
    given = parser.parse_args()
    if not may_open(given.held + given.busy + given.loris + 2 * given.viewers + 100):
        finish([], given.json)
        return 0
    seen = Seen()
    with tempfile.TemporaryDirectory() as scratch, Server(Path(scratch), JD_SERVER_PIN=PIN) as server:
        server.create(given.busy)
        # Unlike asyncio.run this waits for nothing that a client has left behind.
        loop = asyncio.new_event_loop()
        rows = loop.run_until_complete(run(server, given, seen))
        loop.close()
        server.stop()
    finish(rows, given.json)
    found = faults(seen, given)
    for line in found:
        print("FAULT: " + line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
