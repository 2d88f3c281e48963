"""Many jobs are made: what it takes against a bare table, and how long heartbeats wait meanwhile.

A server makes them of a request and of a jobs file; beside it, in the same round, `executemany` writes the
same rows into one table without an index, by one durable transaction, and `json.loads` reads the file. CPU is
that of the server's process, user and system, so that what else the machine does hardly counts.

Run it as `python tests/bench/bench_create.py`; --jobs N sets how many, --against PATH compares another
checkout.
"""

import http.client
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.server.creation.batch import from_grid
from jd.server.store.schema import MIGRATIONS
from tests.bench.measuring import cpu_seconds
from tests.bench.rows import Row, arguments, finish
from tests.e2e.processes import Server

ROOT = Path(__file__).resolve().parents[2]
WIDE = 25  # parameters
GAP = 0.02  # seconds between two heartbeats


class Made(NamedTuple):
    """What a server took, in seconds, and how long heartbeats were under way."""

    cpu: float
    wall: float
    beats: List[float]
    listening: float = 0.0  # from the start of the process


def grid(jobs: int, parameters: int = 3) -> Dict[str, Any]:
    """As the body of a request; with more than three parameters the others have one value."""
    seeds = max(1, jobs // 10_000)
    return {"parameters": dict({"p%d" % n: n for n in range(parameters - 3)},
                               lr=[n / 1000 for n in range(100)], opt=["o%d" % n for n in range(100)],
                               seed=list(range(seeds)))}


class Beats(threading.Thread):
    """Heartbeats of one busy worker, one after the other."""

    def __init__(self, server: Server, attempt: int) -> None:
        super().__init__()
        self.took: List[float] = []
        self.over = threading.Event()
        self._port = server.port
        self._body = json.dumps({"worker_id": "w", "session": "s", "reported_status": "busy",
                                 "current_job_id": 1, "attempt": attempt}).encode()

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            while not self.over.is_set():
                began = time.perf_counter()
                connection.request("POST", "/worker/heartbeat", self._body,
                                   {"Content-Type": "application/json"})
                connection.getresponse().read()
                self.took.append(time.perf_counter() - began)
                time.sleep(GAP)


def by_request(directory: Path, tree: Path, body: bytes) -> Made:
    """Jobs made of a request, by the server of a checkout."""
    os.chdir(str(tree))  # a program that Python starts finds modules there first
    with Server(directory) as server:
        server.create()
        job = server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})["job"]
        beats = Beats(server, job["attempt"])
        beats.start()
        pid = server.popen.pid
        cpu, began = cpu_seconds(pid), time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection:
            connection.request("POST", "/api/jobs/create", body, {"Content-Type": "application/json"})
            assert json.loads(connection.getresponse().read())["success"]
        made = Made(cpu_seconds(pid) - cpu, time.perf_counter() - began, beats.took)
        beats.over.set()
        beats.join()
        server.stop()
        return made


def by_file(directory: Path, tree: Path, path: Path) -> Made:
    """Jobs made of a jobs file at the start of a server."""
    os.chdir(str(tree))
    began = time.perf_counter()
    with Server(directory, "--jobs", path) as server:
        listening = time.perf_counter() - began
        while server.event()["event"] != "jobs":
            pass
        made = Made(cpu_seconds(server.popen.pid), time.perf_counter() - began, [], listening)
        server.stop()
        return made


def bare(directory: Path, jobs: int) -> Tuple[float, float]:
    """CPU seconds of one transaction that writes them into a table with the columns of jobs, and into one
    with nothing but id and parameters."""
    with closing(sqlite3.connect(":memory:")) as schema:
        for script in MIGRATIONS:
            schema.executescript(script)
        columns = [row[1] for row in schema.execute("PRAGMA table_info(jobs)")]
    found = []
    for names in (columns, ["id", "parameters"]):
        path = directory / ("bare%d.db" % len(names))
        with closing(sqlite3.connect(str(path), isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("CREATE TABLE bare (%s)" % ", ".join(
                "id INTEGER PRIMARY KEY" if name == "id" else name for name in names))
            began = time.process_time()
            db.execute("BEGIN")
            db.executemany("INSERT INTO bare (id, parameters) VALUES (?, ?)",
                           enumerate(from_grid(grid(jobs)["parameters"]).texts(), 1))
            db.execute("COMMIT")
            found.append(time.process_time() - began)
    return found[0], found[1]


def measured(tree: Path, jobs: int, path: Path) -> Dict[str, Made]:
    """All ways of one checkout, each with data of its own."""
    found = {}
    for name, body in (("grid", grid(jobs)), ("wide", grid(jobs // 5, WIDE)), ("list", None)):
        with tempfile.TemporaryDirectory() as place:
            data = b'{"jobs": %s}' % path.read_bytes() if body is None else json.dumps(body).encode()
            found[name] = by_request(Path(place), tree, data)
    with tempfile.TemporaryDirectory() as place:
        found["file"] = by_file(Path(place), tree, path)
    return found


def parsed(path: Path) -> float:
    """CPU seconds of json.loads."""
    text, began = path.read_text(), time.process_time()
    json.loads(text)
    return time.process_time() - began


def rows_of(name: str, jobs: int, rounds: List[Dict[str, Made]], tables: List[Tuple[float, float]],
            loads: List[float]) -> List[Row]:
    """What one checkout has made."""
    found = []
    for way, said in (("grid", "%d jobs of a grid" % jobs), ("list", "%d jobs of a list" % jobs)):
        found.append(Row(name + said, "× one bare table",
                         [one[way].cpu / table[0] for one, table in zip(rounds, tables)], 3.0,
                         seen="%.1f s; × %.1f one of two columns" % (
                             min(one[way].wall for one in rounds),
                             min(one[way].cpu / table[1] for one, table in zip(rounds, tables)))))
    found.append(Row(name + "%d jobs of a file, read and made" % jobs, "× json.loads",
                     [one["file"].cpu / load for one, load in zip(rounds, loads)],
                     seen="listening after %.2f s" % max(one["file"].listening for one in rounds)))
    for way, said in (("grid", "a grid"), ("list", "a list"), ("wide", "jobs with %d parameters" % WIDE)):
        beats = sorted(beat for one in rounds for beat in one[way].beats)
        found.append(Row(name + "heartbeat while %s is made" % said, "ms", [beat * 1000 for beat in beats],
                         100.0, seen="99 of 100 within %.0f ms" % (beats[len(beats) * 99 // 100] * 1000)))
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=200_000, help="(%(default)s)")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout to compare with")
    given = parser.parse_args()
    trees: Mapping[str, Path] = {"": ROOT, **({"before: ": given.against.resolve()} if given.against else {})}
    tables, loads = [], []
    rounds: Dict[str, List[Dict[str, Made]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "sweep.json"
        path.write_text(json.dumps([json.loads(text) for text in from_grid(
            grid(given.jobs)["parameters"]).texts()]))
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory() as scratch:
                tables.append(bare(Path(scratch), given.jobs))
            loads.append(parsed(path))
            for name, tree in trees.items():
                rounds[name].append(measured(tree, given.jobs, path))
        os.chdir(str(ROOT))
    finish([row for name in trees for row in rows_of(name, given.jobs, rounds[name], tables, loads)],
           given.json)


if __name__ == "__main__":
    main()
