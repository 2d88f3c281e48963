"""What a large request to create jobs costs a server: peak memory, and for how long nobody else is served.

Run it as `python tests/bench/bench_create.py`; --mb N sets the size of the bodies. Each way of reading has a
process of its own: `at once` is json.loads of the whole body in an executor, then a look at each job; `by
pieces` is what the server does. The stall is the longest time that a task which only sleeps for 2 ms had to
wait.
"""

import argparse
import asyncio
import io
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.net.jsonbody import parse_json
from jd.protocol import ProtocolError
from jd.server.creation import createrequest
from jd.server.creation.batch import from_list

TICK = 0.002  # seconds


def at_once(body: bytes) -> int:
    """As it was done before."""
    value = parse_json(body)
    jobs: List[Any] = value["jobs"]
    if len(jobs) > 1_000_000:
        raise ProtocolError("that makes %d jobs" % len(jobs))
    return from_list(jobs).total


def by_pieces(body: bytes) -> int:
    """As the server does it."""
    return createrequest.read(io.BytesIO(body)).batch.total


WAYS: Dict[str, Callable[[bytes], int]] = {"at once": at_once, "by pieces": by_pieces}


def body_of(job: bytes, size: int) -> bytes:
    """A request for as many of these jobs as fit into so many bytes."""
    return b'{"jobs": [' + (job + b",") * (size // (len(job) + 1) - 1) + job + b"]}"


BODIES = {"empty jobs, refused": b"{}", "jobs too many, refused": b'{"a":1}',
          "jobs that are made": b'{"lr": 0.001, "optimiser": "adam", "layers": [64, 32], "note": "%b"}'
          % (b"x" * 60)}


async def _measured(way: str, body: bytes) -> Dict[str, Any]:
    stalls = [0.0]

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            stalls.append(time.perf_counter() - began - TICK)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0.05)
    before, began = _peak(), time.perf_counter()
    try:
        made = str(await asyncio.get_running_loop().run_in_executor(None, WAYS[way], body))
    except ProtocolError as error:
        made = str(error)[:40]
    took = time.perf_counter() - began
    await asyncio.sleep(2 * TICK)
    ticking.cancel()
    return {"took": took, "stall": max(stalls), "memory": _peak() - before, "made": made}


def _peak() -> float:
    """MB that this process has had at most."""
    unit = 2.0 ** 20 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _child(way: str, job: bytes, size: int, answer: Any) -> None:
    answer.put(asyncio.run(_measured(way, body_of(job, size))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=24, help="size of each body, in MB")
    size = parser.parse_args().mb * 1024 * 1024
    context = multiprocessing.get_context("spawn")
    print("%-24s %-10s %9s %12s %10s  %s" % ("body of %d MB" % (size >> 20), "read", "seconds", "stall in ms",
                                             "more MB", "gives"))
    for name, job in BODIES.items():
        for way in WAYS:
            answer = context.SimpleQueue()
            child = context.Process(target=_child, args=(way, job, size, answer))
            child.start()
            found = answer.get()
            child.join()
            print("%-24s %-10s %9.2f %12.0f %10.0f  %s" % (
                name, way, found["took"], found["stall"] * 1000, found["memory"], found["made"]))


if __name__ == "__main__":
    main()
