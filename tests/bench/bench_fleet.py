"""Nine thousand workers: all connect at once, then all are paused, then all run again.

Run it as `python tests/bench/bench_fleet.py`. Each worker holds its heartbeat at the server, hears the
command, and says so with its next one, as a worker does. Beside them a client asks for a page that nobody has
to look up; and the longest turn of the server's loop is told, in its thread's processor time. With
`--against DIRECTORY` the server of another checkout does the same in turn, for ratios.
"""

import json
import multiprocessing
import os
import select
import socket
import struct
import sys
import tempfile
import time
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Dict, Iterator, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import protocol as p
from tests.bench.bench_viewers import PIN, sign_in
from tests.bench.measuring import cpu_seconds, may_open
from tests.bench.rows import Row, arguments, finish
from tests.e2e.processes import Server
from tests.support import ROOT

PATIENCE = 120.0  # seconds
PROBE_EVERY = 0.005  # seconds
MOST_EVENTS = 512
# Runs in the server before anything else: notes the longest turn of its loop in the file of JD_BENCH_TURNS.
WATCH_TURNS = """\
import asyncio, mmap, os, struct, time
with open(os.environ["JD_BENCH_TURNS"], "r+b") as file:
    page = mmap.mmap(file.fileno(), 8)
run_once = asyncio.BaseEventLoop._run_once
def watched(self):
    began = time.thread_time()
    run_once(self)
    turn = time.thread_time() - began
    if turn > struct.unpack("d", page)[0]:
        page[:] = struct.pack("d", turn)
asyncio.BaseEventLoop._run_once = watched
"""


class Fleet:
    """Workers that wait for jobs, each on a connection of its own. Raises OSError, ValueError."""

    def __init__(self, port: int, count: int) -> None:
        self.heard: List[float] = []  # when answers came
        self._port = port
        self._sockets: Dict[int, socket.socket] = {}
        self._number: Dict[int, int] = {}
        self._state: Dict[int, str] = {}
        self._version: Dict[int, int] = {}
        self._poll = select.epoll()
        for number in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            descriptor = sock.fileno()
            self._sockets[descriptor], self._number[descriptor], self._version[descriptor] = sock, number, 0
            self._poll.register(descriptor, select.EPOLLOUT)

    def turn(self, seconds: float) -> None:
        """Do what is due on all connections."""
        for descriptor, event in self._poll.poll(seconds, MOST_EVENTS):
            if event & select.EPOLLIN:
                answer = self._sockets[descriptor].recv(65536)
                head, _, body = answer.partition(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise ValueError("a worker was answered %r" % answer[:200])
                reply = json.loads(body)
                self._state[descriptor] = reply["desired_state"]
                self._version[descriptor] = reply["desired_version"]
                self.heard.append(time.monotonic())
            elif not event & select.EPOLLOUT:
                raise OSError("a connection was lost")
            self._beat(descriptor)

    def until(self, state: str) -> None:
        """Go on until all have heard that they are to be in this state."""
        limit = time.monotonic() + PATIENCE
        left = set(self._sockets)
        while left and time.monotonic() < limit:
            self.turn(0.1)
            left = {descriptor for descriptor in left if self._state.get(descriptor) != state}
        if left:
            raise ValueError("%d workers have not heard %s" % (len(left), state))

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._poll.close()

    def _beat(self, descriptor: int) -> None:
        number = self._number[descriptor]
        body = json.dumps({
            "worker_id": "node%d_abcdefgh_%d" % (number // 64, number % 64), "machine_type": "cpu",
            "reported_status": p.IDLE, "system_metrics": {"cpu": 1.0}, "session": "s%d" % descriptor,
            "wait": p.MAX_WAIT, "extensions": list(p.EXTENSIONS),
            "applied_version": self._version[descriptor]}).encode("ascii")
        self._sockets[descriptor].send(
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (p.HEARTBEAT.encode("ascii"), len(body), body))
        self._poll.modify(descriptor, select.EPOLLIN)


def probe(port: int, told: Connection) -> None:
    """Ask again and again, until told to stop; then tell the longest wait. In a process of its own."""
    worst = 0.0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        while not told.poll(PROBE_EVERY):
            began = time.monotonic()
            sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            sock.recv(65536)
            worst = max(worst, time.monotonic() - began)
    told.send(worst)


@contextmanager
def probed(port: int, found: Dict[str, float]) -> Iterator[None]:
    """Put into `found` how long the step took, the longest wait beside it, and the server's CPU time."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=probe, args=(port, theirs))
    process.start()
    began = time.monotonic()
    yield
    found["seconds"] = time.monotonic() - began
    ours.send(None)
    found["longest wait"] = ours.recv()
    process.join()


def measure(checkout: Optional[Path], count: int) -> Dict[str, Dict[str, float]]:
    """The three steps against one server."""
    found: Dict[str, Dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        turns = Path(scratch) / "turns"
        turns.write_bytes(bytes(8))
        (Path(scratch) / "sitecustomize.py").write_text(WATCH_TURNS)
        way = os.pathsep.join([scratch, str(checkout or ROOT)])
        with Server(Path(scratch), checkout=checkout or ROOT, JD_SERVER_PIN=PIN, JD_BENCH_TURNS=turns,
                    PYTHONPATH=way) as server:
            page = server.ready["dashboard_url"].rstrip("/")
            cookie = sign_in(page + "/")
            fleet: Optional[Fleet] = None
            for step, state, action in (("all connect", p.RUN, None), ("all are paused", p.PAUSE, p.PAUSE),
                                        ("all run again", p.RUN, p.RUN)):
                cpu = cpu_seconds(server.popen.pid)
                turns.open("r+b").write(bytes(8))
                with probed(server.port, found.setdefault(step, {})):
                    time.sleep(0.2)  # the probe begins
                    if fleet is None:
                        fleet = Fleet(server.port, count)
                    else:
                        began = time.monotonic()
                        asked = command(page, cookie, str(action))
                        fleet.until(state)
                        asked.close()
                        heard = sorted(at - began for at in fleet.heard if at >= began)
                        found[step]["heard by half"] = heard[len(heard) // 2]
                        found[step]["heard by all"] = max(heard)
                    settle(fleet, page, cookie, count, p.RUN if state == p.PAUSE else p.PAUSE)
                found[step]["longest turn"] = struct.unpack("d", turns.read_bytes())[0]
                found[step]["cpu"] = cpu_seconds(server.popen.pid) - cpu
            assert fleet is not None
            fleet.close()
            server.stop()
    return found


def command(page: str, cookie: str, action: str, preview: bool = False) -> socket.socket:
    """Tell all workers something, or ask to how many it would be news; the answer is to be read."""
    host, _, port = page[len("http://"):].rpartition(":")
    sock = socket.create_connection((host, int(port)))
    body = json.dumps({"action": action, "all": True, "preview": preview}).encode("ascii")
    sock.sendall(b"POST /web/workers/command HTTP/1.1\r\nHost: %s:%s\r\nOrigin: %s\r\nCookie: %s\r\n"
                 b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                     host.encode(), port.encode(), page.encode(), cookie.encode(), len(body), body))
    return sock


def settle(fleet: Fleet, page: str, cookie: str, count: int, idle: str) -> None:
    """Go on until all heartbeats are held again: the command `idle` would be news to so many, none has one
    that is queued, and nothing more comes."""
    limit = time.monotonic() + PATIENCE
    known, queued, seen = -1, -1, -1
    while known != count or queued or len(fleet.heard) != seen:
        if time.monotonic() > limit:
            raise ValueError("%d of %d workers are there, %d with a command" % (known, count, queued))
        seen = len(fleet.heard)
        fleet.turn(0.3)
        known, queued = affected(page, cookie, idle), affected(page, cookie, "cancel")


def affected(page: str, cookie: str, action: str) -> int:
    """To how many workers a command would be news."""
    with command(page, cookie, action, preview=True) as asked, asked.makefile("rb") as answer:
        return int(json.loads(answer.read().partition(b"\r\n\r\n")[2])["affected"])


# What is to be reached, in the unit of the figure.
GOALS = {"heard by all": 2.0, "longest turn": 0.05}


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--workers", type=int, default=9000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout")
    given = parser.parse_args()
    if not may_open(given.workers + 100):
        finish([], given.json)
        return 0
    sides = [None] + ([given.against.resolve()] if given.against else [])
    rounds = [[measure(checkout, given.workers) for checkout in sides] for _ in range(given.rounds)]
    rows: List[Row] = []
    for step, figures in rounds[0][0].items():
        for figure in figures:
            what = "%d workers: %s, %s" % (given.workers, step, figure)
            seen = [[side[step][figure] for side in one] for one in rounds]
            rows.append(Row(what, "s", [one[0] for one in seen], GOALS.get(figure)))
            if given.against:
                rows.append(Row(what, "× the other", [one[0] / one[1] for one in seen if one[1]]))
    finish(rows, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
