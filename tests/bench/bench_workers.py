"""Background workers, few and many side by side: what each costs, and how fast they come and go.

Forked from one parent they share its memory. A worker alone is the alternative: so much would each
take if every one were started by itself. Memory is the proportional set size of an idle worker
(Linux, /proc/<pid>/smaps_rollup); the aim is at most 6 MB at 32.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import terminal
from tests.e2e.node import Node, is_running
from tests.e2e.processes import Server
from tests.support import wait_until

COUNTS = (1, 8, 32, 64)
ROUNDS = 3


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def memory(pid: int) -> float:
    """Proportional set size in MB; NaN where the system does not tell."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1000
    except (OSError, StopIteration):
        return float("nan")


def measure(node: Node, script: Path, count: int) -> List[float]:
    """Seconds to start, seconds until all had an answer, MB of each, seconds to stop all."""
    started = timed(lambda: node.start(script, "num_workers=%d" % count))
    answered = timed(lambda: wait_until(
        lambda: all(row.last_ping_at for row in node.rows()), timeout=60))
    rows = node.rows()
    assert len(rows) == count
    size = statistics.mean(memory(row.pid) for row in rows)
    stopped = timed(lambda: node.exp("stop", "all"))
    assert not any(is_running(row.pid) for row in rows)
    return [started, started + answered, size, stopped]


def main() -> None:
    rows: List[List[str]] = []
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        script = directory / "train.py"
        script.write_text("")
        with Server(directory) as server, Node(directory, server.url) as node:
            found: List[List[List[float]]] = [[] for _ in COUNTS]
            for _ in range(ROUNDS):
                for results, count in zip(found, COUNTS):
                    results.append(measure(node, script, count))
            server.stop()
    for results, count in zip(found, COUNTS):
        start, answer, size, stop = (statistics.median(values) for values in zip(*results))
        rows.append([str(count), "%.2f s" % start, "%.2f s" % answer, "%.1f MB" % size,
                     "%.1f MB" % (size * count), "%.2f s" % stop])
    for line in terminal.table(["workers", "launch returns", "all in registry", "memory each",
                                "memory all", "stop all"], rows, range(6)):
        print(line)


if __name__ == "__main__":
    main()
