"""What workers cost while they have nothing to do: memory, and how often they wake up.

So many workers of one launch wait for a server that holds their claims. Memory is the proportional set size
(Linux, /proc/<pid>/smaps_rollup), wake-ups are the voluntary context switches of all threads of a worker.
"""

import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.measuring import cpu_seconds, sizes
from tests.bench.rows import Row, arguments, finish
from tests.e2e.node import Node
from tests.e2e.processes import Server
from tests.support import wait_until

SETTLE = 5.0  # seconds after all are in the registry: what they do once is no part of it
KINDS = ("Pss", "Pss_Anon", "Pss_File", "Private_Dirty", "Shared_Dirty")


def memory(pid: int) -> Dict[str, float]:
    """Sizes in MB, by the kernel's names."""
    found = sizes(pid, "smaps_rollup")
    return {kind: found.get(kind, math.nan) / 1000 for kind in KINDS}


def wake_ups(pid: int) -> int:
    """Voluntary context switches of a process so far."""
    return sum(int(line.split()[1]) for task in (Path("/proc") / str(pid) / "task").iterdir()
               for line in (task / "status").read_text().splitlines()
               if line.startswith("voluntary_ctxt_switches"))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--workers", type=int, default=32, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="(%(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        script = directory / "train.py"
        script.write_text("")
        with Server(directory) as server, Node(directory, server.url) as node:
            node.start(script, "num_workers=%d" % given.workers)
            wait_until(lambda: all(row.last_ping_at for row in node.rows()), timeout=120)
            pids = [row.pid for row in node.rows()]
            time.sleep(SETTLE)
            before = {pid: (wake_ups(pid), cpu_seconds(pid)) for pid in pids}
            taken = [memory(pid) for pid in pids]
            time.sleep(given.seconds)
            woken = [wake_ups(pid) - before[pid][0] for pid in pids]
            used = [cpu_seconds(pid) - before[pid][1] for pid in pids]
            node.exp("stop", "all")
            server.stop()
    minute = 60.0 / given.seconds
    of = "one of %d idle workers" % given.workers
    means = {kind: statistics.mean(size[kind] for size in taken) for kind in KINDS}
    finish([
        Row("memory of " + of, "MB", [size["Pss"] for size in taken], most=4.0,
            seen=", ".join("%s %.2f" % named for named in sorted(means.items()))),
        Row("wake-ups of " + of, "a minute", [number * minute for number in woken], most=6.0,
            seen="%.1f ms of processor time" % (1000 * statistics.mean(used) * minute)),
    ], given.json)


if __name__ == "__main__":
    main()
