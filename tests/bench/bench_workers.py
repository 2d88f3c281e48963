"""Background workers, few and many side by side: what each costs, and how fast they come and go.

Forked from one parent they share its memory. A worker alone is the alternative: so much would each
take if every one were started by itself. Memory is the proportional set size of an idle worker (Linux only).
"""

import math
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.measuring import sizes, timed
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.node import Node, is_running
from tests.e2e.processes import Server
from tests.support import wait_until

COUNTS = (8, 32, 64)


class Launch(NamedTuple):
    """Seconds until the launch returned, until all had an answer, and to stop all; and MB of each worker."""

    started: float
    answered: float
    stopped: float
    memory: float


def measure(node: Node, script: Path, count: int) -> Launch:
    """So many workers come and go."""
    started = timed(lambda: node.start(script, "num_workers=%d" % count))
    answered = timed(lambda: wait_until(
        lambda: all(row.last_ping_at for row in node.rows()), timeout=60))
    rows = node.rows()
    assert len(rows) == count
    size = statistics.mean(sizes(row.pid, "smaps_rollup").get("Pss", math.nan) / 1000 for row in rows)
    stopped = timed(lambda: node.exp("stop", "all"))
    assert not any(is_running(row.pid) for row in rows)
    return Launch(started, started + answered, stopped, size)


def rows_of(found: Dict[int, List[Launch]], count: int) -> List[Row]:
    """So many workers beside one."""
    made = []
    for what, field in (("launch of %d workers", 0),
                        ("launch of %d workers, until all have had an answer", 1),
                        ("stop of %d workers", 2)):
        many, one = ([launch[field] for launch in found[number]] for number in (count, 1))
        made.append(Row(what % count, "× one worker", paired(many, one),
                        seen="%.2f and %.2f s" % (statistics.median(many), statistics.median(one))))
    made.append(Row("memory of one of %d workers" % count, "MB", [launch.memory for launch in found[count]],
                    seen="%.1f MB of one alone" % statistics.median(launch.memory for launch in found[1])))
    return made


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=COUNTS, help="beside one (8 32 64)")
    given = parser.parse_args()
    found: Dict[int, List[Launch]] = {count: [] for count in (1, *given.workers)}
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        script = directory / "train.py"
        script.write_text("")
        with Server(directory) as server, Node(directory, server.url) as node:
            for _ in range(given.rounds):
                for count, launches in found.items():
                    launches.append(measure(node, script, count))
            server.stop()
    finish([row for count in given.workers for row in rows_of(found, count)], given.json)


if __name__ == "__main__":
    main()
