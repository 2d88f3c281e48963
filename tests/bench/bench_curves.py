"""What reports cost a server: 1,000 jobs that run (--jobs N) each report 30 metrics, piece after piece, as
they would every ten seconds; and 1,000 curves of 10,000 points in one answer, with heartbeats meanwhile.

Each answer is of another part of the way, so that none comes from memory. What it makes is in a temporary
directory.
"""

import http.client
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, List
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import protocol as p
from jd.server.experiment import Experiment
from jd.server.store.policy import Policy
from jd.server.store.reports import columns, points, storage
from jd.server.store.reports.storage import Metric
from jd.server.store.transaction import Transaction
from tests.bench.bench_viewers import PIN, sign_in
from tests.bench.measuring import cpu_seconds, most_of
from tests.bench.rows import Row, arguments, finish
from tests.e2e.processes import EXPERIMENT, Server

METRICS = 30
CLIENTS = 8
ROUNDS = 5
POINTS = 10_000
EVERY = p.REPORT_INTERVAL
MOST_SHARE = 0.25  # of a processor
WITHIN = 2_000.0  # milliseconds
MOST_HELD = 100.0
SLICE = 50  # jobs in one transaction


class Client:
    """One connection that asks one thing after the other."""

    def __init__(self, url: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = dict({"Content-Type": "application/json"}, **headers)

    def ask(self, method: str, target: str, body: Any = None) -> bytes:
        """The answer's body."""
        self._connection.request(method, target, None if body is None else json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content[:400]
        return content


def claim(client: Client, jobs: int) -> None:
    """Have so many workers take a job each."""
    for number in range(jobs):
        client.ask("POST", p.HEARTBEAT, {"worker_id": "node_bench_%d" % number, "session": str(number)})


def pieces(url: str, jobs: range, number: int, times: List[float]) -> None:
    """One report of each of these jobs, the `number`-th."""
    client, chance = Client(url), random.Random(number)
    for job_id in jobs:
        told: Dict[str, Any] = {"group/metric_%d" % at: chance.random() for at in range(METRICS)}
        began = time.perf_counter()
        client.ask("POST", p.REPORT, {"job_id": job_id, "attempt": 1, "first": number, "reports": [
            [number * EVERY, dict(told, step=number)]]})
        times.append(time.perf_counter() - began)


def reports(scratch: Path, jobs: int) -> List[Row]:
    """The rows of jobs that report."""
    cpu, rates, times = [], [], []
    with Server(scratch) as server:
        server.create(jobs)
        claim(Client(server.url), jobs)
        pid = server.popen.pid
        for number in range(ROUNDS + 1):  # what begins with the first report is not counted
            some: List[float] = []
            threads = [threading.Thread(target=pieces, args=(
                server.url, range(1 + at, jobs + 1, CLIENTS), number, some)) for at in range(CLIENTS)]
            used, began = cpu_seconds(pid), time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if number:
                rates.append(jobs / (time.perf_counter() - began))
                cpu.append((cpu_seconds(pid) - used) / jobs)
                times += some
        server.stop()
    seen = "%.0f a second; 99 %% within %.0f ms" % (statistics.median(rates), 1000 * most_of(times))
    share = [seconds * jobs / EVERY for seconds in cpu]
    return [Row("a report of %d metrics: the server" % METRICS, "ms", [1000 * one for one in cpu], seen=seen),
            Row("%d jobs, a report every %.0f s" % (jobs, EVERY), "processors", share, most=MOST_SHARE)]


def fill(workspace: Path, jobs: int) -> None:
    """Jobs that run and have reported a long curve each."""
    experiment = Experiment(workspace, EXPERIMENT, Policy(), anew=False)
    chance = random.Random(1)
    shapes = [points.Points(*map(points.numbers, (
        range(POINTS), (1.1 * at for at in range(POINTS)),
        (2 / (1 + at / 100) + chance.random() for at in range(POINTS))))) for _ in range(10)]

    def write(t: Transaction, first: int) -> None:
        for job_id in range(first, min(first + SLICE, jobs + 1)):
            found, shape = storage.begin(t, job_id, 1), shapes[job_id % len(shapes)]
            name_id = storage.add_metric(t, job_id, 1, "loss")
            storage.write(t, storage.series_of(t.db, job_id, 1, name_id), shape)
            metric = Metric(name_id, POINTS, shape.values[-1], min(shape.values), max(shape.values))
            storage.save(t, found._replace(taken=POINTS, metrics={"loss": metric}))
            columns.due(t, job_id, at_once=True)

    for first in range(1, jobs + 1, SLICE):
        experiment.write_now(lambda t: write(t, first))
    experiment.close()


def curves(scratch: Path, jobs: int) -> List[Row]:
    """The rows of curves that are looked at."""
    with Server(scratch, JD_SERVER_PIN=PIN) as server:
        server.create(jobs)
        claim(Client(server.url), jobs)
        server.stop()
    fill(scratch / "server", jobs)
    took: List[float] = []
    held: List[float] = []
    stop = threading.Event()
    with Server(scratch, JD_SERVER_PIN=PIN) as server:
        page = server.ready["dashboard_url"]
        client = Client(page, Cookie=sign_in(page))

        def beat() -> None:
            worker = Client(server.url)
            while not stop.wait(0.005):
                began = time.perf_counter()
                worker.ask("GET", p.HEALTH)
                held.append(1000 * (time.perf_counter() - began))

        beating = threading.Thread(target=beat)
        beating.start()
        for number in range(ROUNDS):
            began = time.perf_counter()
            size = len(client.ask("GET", "/web/curves?metric=loss&filter=&from=-%d" % number))
            took.append(1000 * (time.perf_counter() - began))
        stop.set()
        beating.join()
        server.stop()
    return [Row("%d curves of %d points" % (jobs, POINTS), "ms", took, most=WITHIN,
                seen="%.1f MB" % (size / 1e6)),
            Row("/healthz meanwhile, the longest", "ms", [max(held)], most=MOST_HELD,
                seen="99 %% within %.0f ms" % most_of(held))]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="(%(default)s)")
    given = parser.parse_args()
    rows: List[Row] = []
    for measure in (reports, curves):
        with tempfile.TemporaryDirectory() as scratch:
            rows += measure(Path(scratch), given.jobs)
    finish(rows, given.json)


if __name__ == "__main__":
    main()
