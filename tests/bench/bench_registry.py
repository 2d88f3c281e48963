"""The clean-up that every command begins with, for 0, 50 and 1,000 registered workers.

The target: 1,000 rows in at most 50 ms. Rows of the living are about the parent of this process;
those of the dead are entered again before each round.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.node.identity import Here, process_identity
from jd.worker.local.cleanup import clean_up
from jd.worker.local.registry import Registry
from tests.bench.rows import Row, arguments, finish

ROUNDS = 7
CONFIG: Dict[str, Any] = {"entry_script": "/home/a/train.py", "server": "http://10.0.0.1:5000",
                          "machine_type": "gpu", "environ": {"V%d" % n: "x" * 20 for n in range(20)}}


def fill(registry: Registry, here: Here, count: int, alive: bool) -> None:
    names = registry.reserve(range(count), CONFIG, here, time.time())
    parent = process_identity(os.getppid())
    assert parent is not None
    own = parent if alive else parent._replace(start_time="1")
    registry.settle_all([(name, slot, Path("/logs/%s.log" % name), own)
                         for slot, name in enumerate(names)], time.time())


def one(count: int, alive: bool, directory: str) -> float:
    """Seconds for one clean-up."""
    environ = {"JD_CACHE_PATH": directory}
    registry, here = Registry("exp", environ), Here()
    if count and not (alive and registry.exists):
        fill(registry, here, count, alive)
    started = time.perf_counter()
    swept = clean_up(environ, here)
    seconds = time.perf_counter() - started
    assert swept.rows == (0 if alive else count) and not swept.problems
    return seconds


def main() -> None:
    given = arguments(__doc__).parse_args()
    rows: List[Row] = []
    for count in (0, 50, 1000):
        times: Dict[bool, List[float]] = {True: [], False: []}
        with tempfile.TemporaryDirectory() as living, tempfile.TemporaryDirectory() as dead:
            for _ in range(ROUNDS):
                times[True].append(1000 * one(count, True, living))
                times[False].append(1000 * one(count, False, dead))
        most = 50.0 if count == 1000 else None
        rows += [Row("%d registered workers, all alive" % count, "ms", times[True], most),
                 Row("%d registered workers, all dead" % count, "ms", times[False], most)]
    finish(rows, given.json)


if __name__ == "__main__":
    main()
