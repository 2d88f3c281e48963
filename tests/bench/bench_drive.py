"""What a program waits for that drives a large sweep: the functions of `jd` beside the bare requests.

Run it as `python tests/bench/bench_drive.py`; --jobs N sets how many jobs there are. A server of its own
answers on loopback; each way has a process of its own, so that its memory is its own as well.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jd
from jd import protocol
from jd.net.client import Client
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


WAYS: Dict[str, Callable[[str, int], None]] = {
    "create_jobs": create, "  one request": create_bare, "get_job_statuses": statuses,
    "  requests of 10,000": statuses_bare, "wait_for_jobs": wait, "  the question alone": wait_bare,
    "results": results, "iter_results": results_one_by_one, "  requests of 5,000": results_bare}


def _measured(name: str, server: str, count: int, told: Any) -> None:
    began = time.perf_counter()
    WAYS[name](server, count)
    unit = 2.0 ** 20 if sys.platform == "darwin" else 1024.0
    told.put((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    count = parser.parse_args().jobs
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory, Server(Path(directory)) as server:
        print("%d jobs" % count)
        for name in WAYS:
            told = spawning.Queue()
            process = spawning.Process(target=_measured, args=(name, server.url, count, told))
            process.start()
            print("%-24s %6.2f s   %4.0f MB" % (name, *told.get(timeout=600)))
            process.join()


if __name__ == "__main__":
    main()
