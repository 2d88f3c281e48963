"""Jobs of no length by two workers: how many a second, beside others that start so many processes, and what
each costs worker and server.

All run the same script with the same interpreter, in turn: `xargs -P2`, which keeps nothing, two workers and
a server, which make each claim and result durable, and HyperQueue where its package is installed, whose
client looks once a second whether all is done: that says something for many jobs only. What a job costs is
the processor's time of those processes alone, with that of a worker's fork server and without the script's.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.measuring import cpu_seconds
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.node import Node
from tests.e2e.processes import Server
from tests.support import wait_until

WORKERS = 2
WARM_UP = 20  # jobs; the first one of a worker takes longer
PATIENCE = 600.0  # seconds
XARGS, HYPERQUEUE = "xargs -P%d" % WORKERS, "HyperQueue"


class Jobs(NamedTuple):
    """One round with JD: jobs a second, and milliseconds of the processor for each."""

    rate: float
    worker: float
    server: float


def cpu(pid: int) -> float:
    """Milliseconds that a process has had, without its children."""
    return 1000 * cpu_seconds(pid)


def fork_servers(workers: Sequence[int]) -> List[int]:
    """The processes beside some workers in which scripts begin."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
            if parent in workers and b"jd-fork-server" in Path("/proc", name, "cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            continue  # it has ended
    return found


class Sweep:
    """A server and two workers, which have done their first jobs."""

    def __init__(self, server: Server, node: Node, script: Path) -> None:
        self._server = server
        self._done = 0
        self._takes = 0.0  # seconds for a job in the last round
        self._workers = [row.pid for row in node.start(script, "num_workers=%d" % WORKERS)]
        self.run(WARM_UP)
        self._takes = 0.0

    def run(self, count: int) -> Jobs:
        """So many more jobs, to the last one's end."""
        beside = self._workers + fork_servers(self._workers)
        before = sum(map(cpu, beside)), cpu(self._server.popen.pid)
        self._done += count
        began = time.perf_counter()
        self._server.create(count)
        time.sleep(0.7 * count * self._takes)  # to ask again and again takes of the processors as well
        wait_until(lambda: self._server.counts() == {"DONE": self._done}, PATIENCE)
        took = time.perf_counter() - began
        self._takes = took / count
        worker, server = sum(map(cpu, beside)) - before[0], cpu(self._server.popen.pid) - before[1]
        return Jobs(count / took, worker / count, server / count)


def rate_of(start: Callable[[], object], count: int) -> float:
    """Jobs a second."""
    began = time.perf_counter()
    start()
    return count / (time.perf_counter() - began)


def xargs(script: Path, count: int) -> None:
    subprocess.run(["xargs", "-P%d" % WORKERS, "-n1", sys.executable, str(script), "--x"], check=True,
                   input="\n".join(map(str, range(count))), text=True)


@contextmanager
def hyperqueue() -> Iterator[Callable[[Path, int], None]]:
    """A server and a worker of it for the block; what it yields runs a script so many times."""
    from hyperqueue import Job, LocalCluster  # type: ignore[import-not-found]
    from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]
    # Not where the workers are: it leaves two files for each job, and they look at what is there.
    with tempfile.TemporaryDirectory() as place, LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=WORKERS))
        client = cluster.client()

        def run(script: Path, count: int) -> None:
            job = Job(default_workdir=place)
            for number in range(count):
                job.program([sys.executable, str(script), "--x", str(number)])
            assert client.wait_for_jobs([client.submit(job)])
        yield run


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=200, help="of each round (%(default)s)")
    given = parser.parse_args()
    others: Dict[str, List[float]] = {}
    found: List[Jobs] = []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        directory = Path(place)
        script = directory / "train.py"
        script.write_text("")
        starts: Dict[str, Callable[[Path, int], None]] = {XARGS: xargs}
        if importlib.util.find_spec("hyperqueue") is not None:
            starts[HYPERQUEUE] = stack.enter_context(hyperqueue())
        else:
            print("not compared with HyperQueue: its package is not installed")
        server = stack.enter_context(Server(directory))
        node = stack.enter_context(Node(directory, server.url))
        sweep = Sweep(server, node, script)
        for _ in range(given.rounds):
            for name, start in starts.items():
                others.setdefault(name, []).append(rate_of(lambda: start(script, given.jobs), given.jobs))
            found.append(sweep.run(given.jobs))
        node.exp("stop", "all")
        server.stop()
    finish(rows_of(found, others), given.json)


def rows_of(found: Sequence[Jobs], others: Dict[str, List[float]]) -> List[Row]:
    rate = [round_.rate for round_ in found]
    least = {XARGS: 0.8, HYPERQUEUE: 1.1}
    made = [Row("no-op jobs a second, durable", "× " + name, paired(rate, other), least=least[name],
                seen="%.0f and %.0f a second" % (statistics.median(rate), statistics.median(other)))
            for name, other in others.items()]
    made.append(Row("CPU of a worker for a job", "ms", [round_.worker for round_ in found], most=2.5))
    made.append(Row("CPU of the server for a job", "ms", [round_.server for round_ in found], most=1.0))
    return made


if __name__ == "__main__":
    main()
