"""Jobs whose script imports for longer than it computes, started from scratch and with `warm=true`, side by
side: how many a second, and whether they have the same results.

By itself the script imports much of the standard library; `--python` and `--imports` take other packages, as
`--python ~/envs/torch/bin/python --imports torch`.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import PATIENCE, wait_until

IMPORTS = ",".join("""
    asyncio unittest.mock xml.etree.ElementTree sqlite3 email.mime.text http.server ssl decimal statistics csv
    multiprocessing.pool concurrent.futures ctypes logging.config pydoc doctest tarfile zipfile urllib.request
    xmlrpc.server smtplib ftplib imaplib pdb plistlib optparse gettext wsgiref.handlers mailbox""".split())
SCRIPT = """import %s
import json, os, sys, random
random.seed(sys.argv[2])
with open(os.environ["JD_WORKER_JOB_DIR"] + "/result.json", "w") as file:
    json.dump({"x": sys.argv[2], "drawn": random.random()}, file)
"""


class Sweep(NamedTuple):
    """Jobs a second, from the fourth on: before that the workers begin; and milliseconds of the processor for
    each job, its worker's included."""

    rate: float
    cpu: float


def sweep(server: Server, directory: Path, name: str, jobs: int, words: List[str]) -> Sweep:
    before, used = sum(server.counts().values()), processor()
    server.create(jobs)
    with Worker(directory, server.url, directory / "train.py", *words, name=name) as worker:
        def done() -> int:
            return server.counts().get("DONE", 0) - before
        wait_until(lambda: done() >= 4, 10 * PATIENCE)
        first, began = done(), time.perf_counter()
        while done() < jobs:
            time.sleep(0.02)
        took = time.perf_counter() - began
        worker.stop()
    return Sweep((jobs - first) / took, 1000 * (processor() - used) / jobs)


def processor() -> float:
    """Seconds of it that processes of ours which have ended have used, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def results(directory: Path, first: int, count: int) -> List[Any]:
    """Of so many jobs."""
    place = directory / "workspace" / "jd_data" / EXPERIMENT
    return [json.loads((place / str(number) / "result.json").read_text())
            for number in range(first, first + count)]


def seconds(python: str, imports: str) -> float:
    """Processor's time of these imports, less that of a bare start."""
    def once(code: str) -> float:
        told = subprocess.check_output([python, "-c", code + "\nimport time; print(time.process_time())"])
        return float(told)
    return min(once("import " + imports) for _ in range(3)) - min(once("pass") for _ in range(3))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=100, help="of each round (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--python", default=sys.executable, help="(that which runs this)")
    parser.add_argument("--imports", default=IMPORTS, help="(%(default)s)")
    given = parser.parse_args()
    each: Dict[str, List[Sweep]] = {"cold": [], "warm": []}
    found: Dict[str, List[Any]] = {"cold": [], "warm": []}
    words = ["num_workers=%d" % given.workers, "python=" + given.python]
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "train.py").write_text(SCRIPT % given.imports)
        with Server(directory) as server:
            first = 1
            for _ in range(given.rounds):
                for mode, more in (("cold", []), ("warm", ["warm=true", "preload=" + given.imports])):
                    each[mode].append(sweep(server, directory, mode, given.jobs, words + more))
                    found[mode] += results(directory, first, given.jobs)
                    first += given.jobs
            server.stop()
    assert found["warm"] == found["cold"]
    cold, warm = each["cold"], each["warm"]
    about = "imports of %.0f ms" % (1000 * seconds(given.python, given.imports))
    finish([Row("jobs a second with warm=true", "× from scratch",
                paired([one.rate for one in warm], [one.rate for one in cold]), least=5,
                seen="%s; at most %.1f and %.1f" % (
                    about, max(one.rate for one in warm), max(one.rate for one in cold))),
            Row("processor's time of a job from scratch", "× with warm=true",
                paired([one.cpu for one in cold], [one.cpu for one in warm]),
                seen="with its worker's: at least %.1f and %.1f ms" % (
                    min(one.cpu for one in cold), min(one.cpu for one in warm)))], given.json)


if __name__ == "__main__":
    main()
