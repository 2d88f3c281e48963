"""Many jobs are made: what it takes against a bare table, and how long heartbeats wait meanwhile.

A server makes them of a request and of a jobs file, as JSON and as CSV; beside it, in the same round,
`executemany` writes the same rows into one table without an index, by one durable transaction, and
`json.loads` reads the file of JSON. It is
the processor's time that is compared, of the server user and system: what else the machine does hardly
counts.
"""

import csv
import http.client
import json
import sqlite3
import statistics
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
from tests.bench.measuring import computed, cpu_seconds, most_of, timed
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import Server
from tests.support import ROOT

WIDE = 25  # parameters
GAP = 0.02  # seconds between two heartbeats
READING = 0.3  # seconds after which a server that reads a file is told to end
# The ways of making jobs, each with its name.
WAYS = {"grid": "a grid", "list": "a list", "wide": "a grid of %d parameters" % WIDE,
        "file": "a file", "csv": "a CSV file"}
FILES = {"file": "sweep.json", "csv": "sweep.csv"}


class Made(NamedTuple):
    """How many jobs; what a server took, in seconds, until it had answered, and until it could answer a
    filter by a parameter; how long heartbeats were under way, and how long of that the server computed."""

    jobs: int
    cpu: float
    wall: float
    listening: float  # from the start of the process
    beats: List[float]
    computed: List[float]
    searched_cpu: float = 0.0
    searched: float = 0.0
    ended: float = 0.0  # from SIGTERM, while it read a file


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
        self.computed: List[float] = []
        self.over = threading.Event()
        self._port = server.port
        self._pid = server.popen.pid
        self._body = json.dumps({"worker_id": "w", "session": "s", "reported_status": "busy",
                                 "current_job_id": 1, "attempt": attempt}).encode()

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            while not self.over.is_set():
                before, began = computed(self._pid), time.perf_counter()
                connection.request("POST", "/worker/heartbeat", self._body,
                                   {"Content-Type": "application/json"})
                connection.getresponse().read()
                self.took.append(time.perf_counter() - began)
                self.computed.append(computed(self._pid) - before)
                time.sleep(GAP)


def by_request(directory: Path, tree: Path, jobs: int, body: bytes) -> Made:
    """Jobs made of a request, by the server of a checkout."""
    began = time.perf_counter()
    with Server(directory, checkout=tree) as server:
        listening = time.perf_counter() - began
        server.create()
        job = server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})["job"]
        beats = Beats(server, job["attempt"])
        beats.start()
        pid = server.popen.pid
        cpu, began = cpu_seconds(pid), time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection:
            connection.request("POST", "/api/jobs/create", body, {"Content-Type": "application/json"})
            assert json.loads(connection.getresponse().read())["success"]
            made = Made(jobs, cpu_seconds(pid) - cpu, time.perf_counter() - began, listening, beats.took,
                        beats.computed)
            connection.request("GET", "/api/jobs?where=seed%3E%3D0&per_page=1")
            assert json.loads(connection.getresponse().read())["jobs"]
        made = made._replace(searched_cpu=cpu_seconds(pid) - cpu, searched=time.perf_counter() - began)
        beats.over.set()
        beats.join()
        server.stop()
        return made


def by_file(directory: Path, tree: Path, jobs: int, path: Path) -> Made:
    """Jobs made of a jobs file at the start of a server, at the second one: the first is told to end."""
    with Server(directory, "--jobs", path, checkout=tree) as server:
        time.sleep(READING)
        ended = timed(server.stop)
    began = time.perf_counter()
    with Server(directory, "--jobs", path, checkout=tree) as server:
        listening = time.perf_counter() - began
        while server.event()["event"] != "jobs":
            pass
        made = Made(jobs, cpu_seconds(server.popen.pid), time.perf_counter() - began, listening, [],
                    [], ended=ended)
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


class Sizes(NamedTuple):
    """How many jobs: of a grid, of a list or a file, and of many parameters."""

    grid: int
    list: int
    wide: int


def measured(tree: Path, sizes: Sizes, files: Path) -> Dict[str, Made]:
    """All ways of one checkout, each with data of its own; `files` is where those of a list are."""
    found = {}
    for way, jobs, body in (("grid", sizes.grid, grid(sizes.grid)),
                            ("wide", sizes.wide, grid(sizes.wide, WIDE)),
                            ("list", sizes.list, b'{"jobs": %s}' % (files / FILES["file"]).read_bytes())):
        with tempfile.TemporaryDirectory() as place:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            found[way] = by_request(Path(place), tree, jobs, data)
    for way, name in FILES.items():
        with tempfile.TemporaryDirectory() as place:
            found[way] = by_file(Path(place), tree, sizes.list, files / name)
    return found


def write_files(directory: Path, jobs: int) -> None:
    """The same jobs as each kind of file."""
    listed = [json.loads(text) for text in from_grid(grid(jobs)["parameters"]).texts()]
    (directory / FILES["file"]).write_text(json.dumps(listed))
    with open(str(directory / FILES["csv"]), "w", newline="") as file:
        table = csv.DictWriter(file, list(listed[0]))
        table.writeheader()
        table.writerows(listed)


def parsed(path: Path) -> float:
    """CPU seconds of json.loads."""
    text, began = path.read_text(), time.process_time()
    json.loads(text)
    return time.process_time() - began


def rows_of(name: str, rounds: List[Dict[str, Made]], tables: Dict[str, List[Tuple[float, float]]],
            loads: List[float]) -> List[Row]:
    """What one checkout has made."""
    by_way = {way: [one[way] for one in rounds] for way in WAYS}
    called = {way: "%s%d jobs of %s" % (name, by_way[way][0].jobs, said) for way, said in WAYS.items()}
    found = []
    for way, bare_ones in tables.items():
        cpu = [one.cpu for one in by_way[way]]
        found.append(Row(called[way], "× one bare table", paired(cpu, [one for one, _ in bare_ones]), 3.0,
                         seen="%.1f s; × %.1f one of two columns" % (
                             min(one.wall for one in by_way[way]),
                             statistics.median(paired(cpu, [two for _, two in bare_ones])))))
        found.append(Row(called[way] + ", until filters find them", "× one bare table",
                         paired([one.searched_cpu for one in by_way[way]], [one for one, _ in bare_ones]),
                         seen="%.1f s" % min(one.searched for one in by_way[way])))
    for way in FILES:
        files = by_way[way]
        found += [
            Row(called[way], "× json.loads", paired([one.cpu for one in files], loads), 3.0,
                seen="%.1f s" % min(one.wall for one in files)),
            Row(called[way] + ", until the port is open", "× without a file",
                paired([one.listening for one in files], [one.listening for one in by_way["grid"]]),
                seen="%.2f s" % statistics.median(one.listening for one in files)),
            Row(called[way] + ", from SIGTERM to the end", "s", [one.ended for one in files], 1.0)]
    for way in ("grid", "list", "wide"):
        beats = [1000 * beat for one in by_way[way] for beat in one.beats]
        found.append(Row(called[way] + ", longest heartbeat", "ms",
                         [1000 * max(one.beats) for one in by_way[way]], 100.0,
                         seen="99 of 100 within %.0f ms; the server computes for %.0f ms in one at most" % (
                             most_of(beats), 1000 * max(max(one.computed) for one in by_way[way]))))
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="of a grid (%(default)s)")
    parser.add_argument("--listed", type=int, default=200_000, help="of a list or a file (%(default)s)")
    parser.add_argument("--wide", type=int, default=50_000,
                        help="of %d parameters (%%(default)s)" % WIDE)
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout")
    given = parser.parse_args()
    trees: Mapping[str, Path] = {"": ROOT, **({"before: ": given.against.resolve()} if given.against else {})}
    # Those of a grid are a whole number of times so many.
    sizes = Sizes(*(max(1, number // 10_000) * 10_000 for number in (given.jobs, given.listed, given.wide)))
    tables: Dict[str, List[Tuple[float, float]]] = {"grid": [], "list": []}
    loads = []
    rounds: Dict[str, List[Dict[str, Made]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as place:
        write_files(Path(place), sizes.list)
        for _ in range(given.rounds):
            for way, jobs in (("grid", sizes.grid), ("list", sizes.list)):
                with tempfile.TemporaryDirectory() as scratch:
                    tables[way].append(bare(Path(scratch), jobs))
            loads.append(parsed(Path(place) / FILES["file"]))
            for name, tree in trees.items():
                rounds[name].append(measured(tree, sizes, Path(place)))
    finish([row for name in trees for row in rows_of(name, rounds[name], tables, loads)], given.json)


if __name__ == "__main__":
    main()
