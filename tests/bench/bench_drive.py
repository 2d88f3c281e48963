"""What a program waits for that drives a large sweep: the functions of `jd` beside the bare requests.

Run it as `python tests/bench/bench_drive.py`; --jobs N sets how many jobs there are. A server of its own
answers on loopback; each way has a process of its own, so that its memory is its own as well.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jd
from jd import protocol
from jd.net.client import Client
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import EXPERIMENT, Server


def _begun(server: str) -> Client:
    jd.init(exp_id=EXPERIMENT, server=server)
    return Client(server)


def create(server: str, count: int) -> None:
    _begun(server)
    jd.create_jobs([{"lr": n / 1000, "seed": n} for n in range(count)])


def create_bare(server: str, count: int) -> None:
    body = json.dumps({"jobs": [{"lr": n / 1000, "seed": n} for n in range(count)]}).encode()
    Client(server, timeout=300).call("POST", protocol.CREATE_JOBS, body)


def statuses(server: str, count: int) -> None:
    _begun(server)
    assert len(jd.get_job_statuses(range(1, count + 1))) == count


def statuses_bare(server: str, count: int) -> None:
    for first in range(1, count + 1, 10_000):
        ids = ",".join(map(str, range(first, min(first + 10_000, count + 1))))
        Client(server).call("GET", protocol.JOB_STATUSES, query={"ids": ids})


def wait(server: str, count: int) -> None:
    """As they were created: nothing runs here."""
    _begun(server)
    assert len(jd.wait_for_jobs(range(1, count + 1), status=protocol.PENDING)) == count


def wait_bare(server: str, count: int) -> None:
    """The question alone, without the jobs."""
    for first in range(1, count + 1, protocol.MAX_DRIVEN_IDS):
        ids = list(range(first, min(first + protocol.MAX_DRIVEN_IDS, count + 1)))
        assert Client(server).call("POST", protocol.WAIT_FOR_JOBS, {
            "ids": ids, "status": protocol.PENDING})["finished"]


def results(server: str, count: int) -> None:
    _begun(server)
    assert len(jd.results("id<=%d" % count)) == count  # the others are of the bare request


def results_one_by_one(server: str, count: int) -> None:
    _begun(server)
    assert sum(1 for _ in jd.iter_results("id<=%d" % count)) == count


def results_bare(server: str, count: int) -> None:
    after: Any = 0
    while after is not None:
        query = {"where": "id<=%d" % count, "after": after, "limit": protocol.MAX_RESULTS}
        after = Client(server).call("GET", protocol.RESULTS, query=query)["next"]


Way = Callable[[str, int], None]
# By the name of the function: it, the bare requests, and their name.
WAYS: Dict[str, Tuple[Way, Way, str]] = {
    "create_jobs": (create, create_bare, "one request"),
    "get_job_statuses": (statuses, statuses_bare, "requests of 10,000"),
    "wait_for_jobs": (wait, wait_bare, "the question alone"),
    "results": (results, results_bare, "requests of 5,000"),
    "iter_results": (results_one_by_one, results_bare, "requests of 5,000")}


def _measured(way: Way, server: str, count: int, told: Any) -> None:
    began = time.perf_counter()
    way(server, count)
    unit = 2.0 ** 20 if sys.platform == "darwin" else 1024.0
    told.put((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit))


class Cost(NamedTuple):
    """Seconds, and MB at most, of a process of its own."""

    seconds: float
    size: float


def measure(way: Way, server: str, count: int) -> Cost:
    """What one way costs."""
    spawning = multiprocessing.get_context("spawn")
    told = spawning.Queue()
    process = spawning.Process(target=_measured, args=(way, server, count, told))
    process.start()
    seconds, size = told.get(timeout=600)
    process.join()
    return Cost(seconds, size)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="(%(default)s)")
    given = parser.parse_args()
    found: Dict[str, List[Tuple[Cost, Cost]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as directory, Server(Path(directory)) as server:
        for _ in range(given.rounds):
            for name, (way, bare, _) in WAYS.items():
                found[name].append((measure(way, server.url, given.jobs),
                                    measure(bare, server.url, given.jobs)))
    finish([row_of("jd.%s, %d jobs" % (name, given.jobs), WAYS[name][2], costs)
            for name, costs in found.items()], given.json)


def row_of(name: str, against: str, costs: List[Tuple[Cost, Cost]]) -> Row:
    """A function beside the bare requests."""
    ours, bare = zip(*costs)
    return Row(name, "× " + against, paired([one.seconds for one in ours], [one.seconds for one in bare]),
               seen="; ".join("%.1f s, %.0f MB" % (
                   min(one.seconds for one in side), max(one.size for one in side)) for side in (ours, bare)))


if __name__ == "__main__":
    main()
