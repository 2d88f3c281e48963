"""A file of 100 MB on its way from `jd.jd_upload` in a script to the server's disk, beside a copy of it.

Each round copies the file with `shutil.copyfile` and makes it durable, and then uploads it, on one file
system. It tells the ratio, the processor time and the additional memory of both sides, and how long
heartbeats of another worker took meanwhile. With `--against DIRECTORY` client and server of another checkout
do the same in turn.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import protocol as p
from jd.net.client import Client
from tests.bench.measuring import cpu_seconds, most_of, sizes
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import Server
from tests.support import ROOT, free_env

MB = 2 ** 20
BEAT_EVERY = 0.02  # seconds
# A script that lives on: it uploads when it is told to, and says how that was.
SCRIPT = """\
import json, os, resource, sys, time
import jd
for line in sys.stdin:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    def memory():
        with open("/proc/self/status") as file:
            told = dict(line.split(":", 1) for line in file)
        return [int(told[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")]
    before, used, began = memory()[0], time.process_time(), time.perf_counter()
    jd.jd_upload(line.strip(), job_id=1, server=os.environ["JD_SERVER"])
    wall, used = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"wall": wall, "cpu": used, "memory": memory()[1] - before}), flush=True)
"""


class Upload(NamedTuple):
    """One upload: seconds by the clock and of the processor of both sides, bytes of memory that each side
    needed more, and the seconds that each heartbeat meanwhile took."""

    wall: float
    client_cpu: float
    server_cpu: float
    client_memory: float
    server_memory: float
    beats: List[float]


class Side:
    """A server with a job that runs, and a script of that job."""

    def __init__(self, directory: Path, tree: Path) -> None:
        directory.mkdir()
        self._server = Server(directory, checkout=tree)
        environ = free_env(directory, PYTHONPATH=tree, JD_SERVER=self._server.url)
        self._client = Client(self._server.url, keep=True)
        self._client.call("POST", "/api/jobs/create", {"parameters": {"x": [1]}})
        self._beat("node_upload_0", wanted=p.RUN)
        self._script = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=environ, text=True, cwd="/")

    def upload(self, path: Path) -> Upload:
        """Upload a file once."""
        assert self._script.stdin is not None and self._script.stdout is not None
        pid = self._server.popen.pid
        Path("/proc/%d/clear_refs" % pid).write_text("5")
        memory, used = sizes(pid, "status")["VmRSS"], cpu_seconds(pid)
        beats: List[float] = []
        done = threading.Event()
        beating = threading.Thread(target=self._beat_until, args=(done, beats))
        beating.start()
        print(path, file=self._script.stdin, flush=True)
        told = json.loads(self._script.stdout.readline())
        done.set()
        beating.join()
        return Upload(told["wall"], told["cpu"], cpu_seconds(pid) - used, told["memory"],
                      1024 * (sizes(pid, "status")["VmHWM"] - memory), beats)

    def close(self) -> None:
        self._script.kill()
        self._script.communicate()
        self._server.stop()
        self._server.__exit__()

    def _beat_until(self, done: threading.Event, beats: List[float]) -> None:
        while not done.wait(BEAT_EVERY):
            began = time.perf_counter()
            self._beat("node_other_0")
            beats.append(time.perf_counter() - began)

    def _beat(self, worker: str, wanted: Optional[str] = None) -> None:
        told = self._client.call("POST", p.HEARTBEAT, {
            "worker_id": worker, "machine_type": "cpu", "reported_status": p.IDLE, "applied_version": 0,
            "system_metrics": {"cpu": 1.0}, "session": worker})
        assert wanted is None or told.get("job"), told


def copied(path: Path, to: Path) -> float:
    """Seconds that a durable copy takes."""
    began = time.perf_counter()
    shutil.copyfile(str(path), str(to))
    with open(str(to), "rb") as file:
        os.fsync(file.fileno())
    took = time.perf_counter() - began
    to.unlink()
    return took


def rows_of(name: str, uploads: List[Upload], copies: List[float]) -> List[Row]:
    """What one side has made."""
    walls = [one.wall for one in uploads]
    beats = [1000 * beat for one in uploads for beat in one.beats]
    cpu = "processor: %.2f s of the script, %.2f s of the server" % (
        min(one.client_cpu for one in uploads), min(one.server_cpu for one in uploads))
    return [
        Row(name + "upload", "× copy and fsync", paired(walls, copies), 2.0,
            seen="%.2f s; %s" % (min(walls), cpu)),
        Row(name + "more memory, script", "MB", [one.client_memory / MB for one in uploads], 16.0),
        Row(name + "more memory, server", "MB", [one.server_memory / MB for one in uploads], 16.0),
        Row(name + "longest heartbeat meanwhile", "ms",
            [1000 * max(one.beats) for one in uploads if one.beats], 100.0,
            seen="99 of 100 within %.1f ms" % most_of(beats))]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--megabytes", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout")
    given = parser.parse_args()
    trees: Mapping[str, Path] = {"": ROOT, **({"before: ": given.against.resolve()} if given.against else {})}
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        path = directory / "large"
        path.write_bytes(os.urandom(MB) * given.megabytes)
        sides = {name: Side(directory / ("side%d" % at), trees[name]) for at, name in enumerate(trees)}
        copies: List[float] = []
        uploads: Dict[str, List[Upload]] = {name: [] for name in sides}
        for _ in range(given.rounds + 1):  # the first counts for nothing
            copies.append(copied(path, directory / "copy"))
            for name, side in sides.items():
                uploads[name].append(side.upload(path))
        for side in sides.values():
            side.close()
    found = [row for name in sides for row in rows_of(name, uploads[name][1:], copies[1:])]
    finish(found, given.json)


if __name__ == "__main__":
    main()
