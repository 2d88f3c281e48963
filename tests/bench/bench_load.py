"""A full server: 5,000 waiting workers, 1,000 busy ones, 200 slow-loris, 100 dashboards, while jobs are made.

Run it as `python tests/bench/bench_load.py`, ten minutes long with `--seconds 600`. Waiting workers hold a
heartbeat for 180 s, busy ones for 57 s. It ends with status 1 if anything was answered with an error, a
connection was lost, or the server's memory has grown. What it makes is in a temporary directory.
"""

import argparse
import asyncio
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import terminal
from tests.bench.bench_viewers import PIN, sign_in
from tests.bench.load import Clients, Seen, cpu_seconds, resident
from tests.e2e.processes import Server

RAMP = 300  # connections that begin in a second
RAMP_PATIENCE = 180.0  # seconds until all are in
SETTLE = 5.0  # more, in which the server answers what has waited meanwhile
MOST_OF = 0.95  # of them: some are between two heartbeats, or run a job
GROWTH = 1.10  # of the server's memory, from the first fifth of the time to the last, ...
GROWTH_MB = 16.0  # ... beyond what a busy allocator moves by
SAMPLE = 1.0  # seconds


async def run(server: Server, given: argparse.Namespace) -> Dict[str, Any]:
    """Bring everybody in, wait, and tell what was seen."""
    seen = Seen()
    page = server.ready["dashboard_url"]
    cookie = await asyncio.get_running_loop().run_in_executor(None, sign_in, page)
    clients = Clients(server.port, int(page.rstrip("/").rpartition(":")[2]), cookie, seen, given.seed)
    began = time.monotonic()
    tasks: List["asyncio.Future[None]"] = []
    for kind, count, act in (
        ("busy", given.busy, clients.busy),
        ("idle", given.held, clients.idle),
        ("slow-loris", given.loris, clients.loris),
        ("dashboard", given.viewers, clients.viewer),
    ):
        for number in range(count):
            tasks.append(asyncio.ensure_future(_noted(seen, kind, act, number)))
            if number % 30 == 29:
                await asyncio.sleep(30 / RAMP)
    tasks.append(asyncio.ensure_future(_noted(seen, "create", clients.create, given.jobs)))
    ramp = await _all_in(seen, {"busy": given.busy, "idle": given.held}, began)
    seen.since = time.monotonic()
    most: Dict[str, int] = {}
    memory: List[float] = []
    began, cpu, done, events = time.monotonic(), cpu_seconds(server.popen.pid), seen.finished, seen.events
    while time.monotonic() - began < given.seconds and server.popen.poll() is None and not seen.errors:
        await asyncio.sleep(SAMPLE)
        memory.append(resident(server.popen.pid) or 0.0)
        for kind, count in seen.open.items():
            most[kind] = max(most.get(kind, 0), count)
    seconds = time.monotonic() - began
    seen.since = math.inf
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "seconds": round(seconds, 1),
        "ramp_seconds": round(ramp, 1),
        "connections": most,
        "jobs": seen.finished - done,
        "events": seen.events - events,
        "slow_loris_cut_off": seen.cut_off,
        "server_cpu": round((cpu_seconds(server.popen.pid) - cpu) / max(seconds, 0.001), 3),
        "pickup": _figures(seen.pickup),
        "heartbeat": _figures(seen.beats),
        "late": _figures(seen.late),
        "page": _figures(seen.pages),
        "memory_mb": _memory(memory),
        "errors": dict(seen.errors),
    }


async def _all_in(seen: Seen, wanted: Dict[str, int], began: float) -> float:
    """Wait until so many heartbeats are held, and jobs are made, or something fails; returns how long."""
    while time.monotonic() - began < RAMP_PATIENCE and not seen.errors and not (seen.created and all(
            seen.open[kind] >= count * MOST_OF for kind, count in wanted.items())):
        await asyncio.sleep(0.2)
    await asyncio.sleep(SETTLE)
    return time.monotonic() - began


async def _noted(seen: Seen, kind: str, act: Callable[[int], Awaitable[None]], number: int) -> None:
    try:
        await act(number)
    except (OSError, ValueError, LookupError, EOFError, asyncio.TimeoutError) as error:
        seen.error(kind, "%s %s" % (type(error).__name__, error))


def _figures(times: Sequence[float]) -> Dict[str, float]:
    """Count, median, p99 and worst, in milliseconds."""
    if not times:
        return {"count": 0}
    ordered = sorted(times)
    return {
        "count": len(ordered),
        "median": round(1000 * ordered[len(ordered) // 2], 1),
        "p99": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
        "worst": round(1000 * ordered[-1], 1),
    }


def _memory(samples: Sequence[float]) -> Dict[str, float]:
    fifth = max(1, len(samples) // 5)
    if not samples:
        return {"first": 0.0, "last": 0.0, "most": 0.0}
    first, last = statistics.mean(samples[:fifth]), statistics.mean(samples[-fifth:])
    return {"first": round(first, 1), "last": round(last, 1), "most": round(max(samples), 1)}


def faults(told: Dict[str, Any], given: argparse.Namespace) -> List[str]:
    """What of it must not be."""
    found = ["%d times %s" % (count, what) for what, count in told["errors"].items()]
    memory = told["memory_mb"]
    if memory["last"] > memory["first"] * GROWTH and memory["last"] > memory["first"] + GROWTH_MB:
        found.append("the server's memory has grown from %.0f to %.0f MB" % (memory["first"], memory["last"]))
    for name in ("pickup", "heartbeat", "page"):
        if (
            not told[name]["count"]
            and {"pickup": given.held, "heartbeat": given.busy, "page": given.viewers}[name]
        ):
            found.append("no %s was seen" % name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="that count (%(default)s)")
    parser.add_argument("--held", type=int, default=5000, help="workers that wait for jobs (%(default)s)")
    parser.add_argument("--busy", type=int, default=1000, help="workers with a job (%(default)s)")
    parser.add_argument(
        "--loris", type=int, default=200, help="connections that send a byte a second (%(default)s)"
    )
    parser.add_argument("--viewers", type=int, default=100, help="open dashboards (%(default)s)")
    parser.add_argument("--jobs", type=int, default=20, help="that are made each second (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the figures here as well")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = given.held + given.busy + given.loris + 2 * given.viewers + 100
    if hard != resource.RLIM_INFINITY and hard < needed:
        parser.error(
            "a process may have %d open files here (ulimit -Hn), and this needs %d: take less"
            % (hard, needed)
        )
    with tempfile.TemporaryDirectory() as scratch, Server(Path(scratch), JD_SERVER_PIN=PIN) as server:
        server.create(given.busy)
        told = asyncio.run(run(server, given))
        server.stop()
    show(told)
    if given.json:
        Path(given.json).write_text(json.dumps(told, indent=2) + "\n")
    found = faults(told, given)
    for line in found:
        print("FAULT: " + line)
    return 1 if found else 0


def show(told: Dict[str, Any]) -> None:
    """The figures for people."""
    open_ = ", ".join("%d %s" % (count, kind) for kind, count in sorted(told["connections"].items()))
    print("%.0f s, after %.0f in which all came; connections at most: %s" % (
        told["seconds"], told["ramp_seconds"], open_))
    memory = told["memory_mb"]
    print("%d jobs, %d events, %d slow-loris cut off" % (
        told["jobs"], told["events"], told["slow_loris_cut_off"]))
    print("server: %.0f %% of a processor; memory %.0f MB at first, %.0f at last, %.0f at most" % (
        100 * told["server_cpu"], memory["first"], memory["last"], memory["most"]))
    columns = ("count", "median", "p99", "worst")
    rows = [[text, *(str(told[name].get(column, "-")) for column in columns)] for text, name in (
        ("pickup of a job", "pickup"), ("heartbeat, answered at once", "heartbeat"),
        ("held heartbeat, after its time", "late"), ("table of a dashboard", "page"))]
    print("\n".join(terminal.table(["milliseconds", *columns], rows, numeric=[1, 2, 3, 4])))


if __name__ == "__main__":
    sys.exit(main())
