"""Requests of 64 workers on kept connections, as fast as the server answers: busy heartbeats, and jobs that
are claimed and finished in one heartbeat.

Each request says what our own workers say. The generator is this process: prepared bytes, plain sockets and
epoll. It drives the servers of one or two checkouts (`--against`) in turn, round by round, so that what else
the machine does meets both, and a bare asyncio server, which shows what the generator and asyncio alone can
do. CPU is that of the server's process, all of its threads, user and system.
"""

import argparse
import asyncio
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.measuring import cpu_seconds
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import EXPERIMENT, Server
from tests.support import ROOT

CLIENTS = 64
BUSY, JOBS, BARE = "busy heartbeat", "claim + finish", "bare asyncio server"
LEAST = 2.5  # times the rate of the code from before
MOST_P99 = {BUSY: None, JOBS: 30.0}  # milliseconds
PATIENCE = 60.0  # seconds without any answer

_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")
_JOB = re.compile(rb'"job":\{"job_id":([0-9]+).*?"attempt":([0-9]+)')

_HEAD = (b"POST /worker/heartbeat HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: 127.0.0.1:%d\r\n"
         b"User-Agent: jd-worker/2.0.0\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
         b"Connection: keep-alive\r\nX-JD-Experiment: " + EXPERIMENT.encode("ascii")
         + b"\r\nContent-Length: %d\r\n\r\n")
_WORKER = (
    b'{"worker_id":"node_bench_%d","host":"node","machine_type":"worker","applied_version":0,"system_metrics":'
    b'{"cpu_util":99.5,"disk_io_util":2.1,"cpu_threads":2,"cpu_cores":2,"cpu_freq_mhz":2596.15,'
    b'"ram_total":23.54,"ram_available":22.8,"ram_util":3.2,"load_1min":0.48,"load_5min":0.64,'
    b'"load_15min":1.99,"load_per_cpu":0.24,"worker_type":"worker","idle_slots":0},'
    b'"jd_worker_version":"2.0.0","session":"39c998f6f1ae82a6","exp_id":"exp",')
_CODE = (b'"code":{"script":"t.py","hash":"e3dc905bbe8667c5e2a5eae3dc612416ca97116a9275eaae6d3ecda318f5bf10",'
         b'"interpreter":"/usr/bin/python3","version":"3.11.7","distributions":{}}')
_IDLE = b'"reported_status":"idle","current_job_id":null}'
_FINISHED = (b'"reported_status":"idle","current_job_id":null,"finished":{"job_id":%d,"status":"DONE",'
             b'"message":"","attempt":%d,"verdict":"done","exit_code":0,"runtime":0.021,'
             b'"output_tail":"epoch %d\\n",' + _CODE + b',"output_size":9}}')
_BUSY = (b'"reported_status":"busy","current_job_id":%d,"attempt":%d,"output_tail":"epoch %d\\n",' + _CODE
         + b',"output_size":9}')


class Round(NamedTuple):
    """What one round saw: requests per second, milliseconds until an answer, and milliseconds of the
    server's CPU for each request."""

    per_second: float
    p50: float
    p99: float
    cpu: float


class Client:
    """One worker and its connection."""

    def __init__(self, port: int, number: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = port
        self._said = _WORKER % number
        self._job, self._attempt = 1, 1
        self._input = b""
        self.left = 0
        self.sent_at = 0.0

    def ask(self, says: bytes) -> None:
        """Send the next heartbeat."""
        body = self._said + says
        self.sent_at = time.perf_counter()
        self.sock.sendall(_HEAD % (self._port, len(body)) + body)

    def ask_next(self, kind: str) -> None:
        """Send the heartbeat of this kind that is due."""
        self.left -= 1
        self.ask((_FINISHED if kind == JOBS else _BUSY) % (self._job, self._attempt, self.left % 10))

    def hear(self) -> bool:
        """Read what has come; whether that completes the answer. Raises ValueError for a refusal."""
        came = self.sock.recv(65536)
        data = self._input = self._input + came
        end, length = data.find(b"\r\n\r\n"), _LENGTH.search(data)
        complete = end >= 0 and length is not None and len(data) >= end + 4 + int(length.group(1))
        if not complete and came:
            return False
        if not complete or not data.startswith(b"HTTP/1.1 200"):
            raise ValueError("the server answered %r" % data[:400])
        self._input = b""
        job = _JOB.search(data, end)
        if job is not None:
            self._job, self._attempt = int(job.group(1)), int(job.group(2))
        return True


def drive(port: int, pid: int, kind: str, requests: int) -> Round:
    """One round: every client claims a job, then all send so many requests of a kind, each the next one as
    soon as the last is answered. Raises ValueError, OSError."""
    clients = [Client(port, number) for number in range(CLIENTS)]
    by_number = {client.sock.fileno(): client for client in clients}
    poll = select.epoll()
    for client in clients:
        client.ask(_IDLE)
        while not client.hear():
            pass
        client.left = requests // CLIENTS
        poll.register(client.sock, select.EPOLLIN)
    times: List[float] = []
    cpu, began = cpu_seconds(pid), time.perf_counter()
    for client in clients:
        client.ask_next(kind)
    waiting = CLIENTS
    while waiting:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise ValueError("nothing was answered for %d s" % PATIENCE)
        for number, _ in ready:
            client = by_number[number]
            if client.hear():
                times.append(time.perf_counter() - client.sent_at)
                if client.left:
                    client.ask_next(kind)
                else:
                    waiting -= 1
    seconds, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
    poll.close()
    for client in clients:
        client.sock.close()
    times.sort()
    return Round(len(times) / seconds, 1000 * times[len(times) // 2], 1000 * times[len(times) * 99 // 100],
                 1000 * cpu / len(times))


class Bare(asyncio.Protocol):
    """Answers everything that ends in a body's brace, without looking at it."""

    ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 485\r\n\r\n"
              + b'{"job":{"job_id":1,"attempt":1}}'.ljust(485))

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self._transport.write(self.ANSWER)


async def serve_bare() -> None:
    """Print the port, and answer until the input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def bare_server() -> Iterator[Callable[[int], Round]]:
    """What the generator and asyncio alone can do, in a round of so many requests."""
    with subprocess.Popen([sys.executable, str(Path(__file__).resolve()), "--bare"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdin is not None
        port = int(server.stdout.readline())
        yield lambda requests: drive(port, server.pid, BUSY, requests)
        server.stdin.close()


def measure(checkouts: List[Path], kinds: List[str], rounds: int, requests: int,
            scratch: Path) -> Tuple[Dict[str, List[List[Round]]], List[Round]]:
    """By kind, for each checkout, its rounds; and those of the bare server."""
    found: Dict[str, List[List[Round]]] = {kind: [[] for _ in checkouts] for kind in kinds}
    bare: List[Round] = []
    with ExitStack() as stack:
        alone = stack.enter_context(bare_server())
        servers = []
        for number, checkout in enumerate(checkouts):
            place = scratch / str(number)
            place.mkdir()
            servers.append(stack.enter_context(Server(place, checkout=checkout)))
        for turn in range(rounds):
            bare.append(alone(requests))
            for kind in kinds:
                # Whoever comes first in one round comes last in the next.
                for number in sorted(range(len(servers)), reverse=turn % 2 == 1):
                    server = servers[number]
                    server.create(CLIENTS + (requests if kind == JOBS else 0))
                    found[kind][number].append(drive(server.port, server.popen.pid, kind, requests))
        for server in servers:
            server.stop()
    return found, bare


def rows_of(found: Dict[str, List[List[Round]]], bare: List[Round]) -> List[Row]:
    """Rates as ratios to those of the other checkout, or else of the bare server."""
    made: List[Row] = []
    for kind, sides in found.items():
        here, other = sides[0], sides[1] if len(sides) > 1 else bare
        rates = [seen.per_second for seen in here], [seen.per_second for seen in other]
        made.append(Row(kind + ", rate", "× the other" if len(sides) > 1 else "× " + BARE, paired(*rates),
                        least=LEAST if len(sides) > 1 else None,
                        seen="%.0f a second, %.0f there" % tuple(map(statistics.median, rates))))
        made.append(Row(kind + ", p99", "ms", [seen.p99 for seen in here], MOST_P99[kind],
                        seen="%.3g there" % statistics.median(seen.p99 for seen in other)))
        made.append(Row(kind + ", server's CPU", "ms", [seen.cpu for seen in here],
                        seen="%.3g there" % statistics.median(seen.cpu for seen in other)))
    made.append(Row(BARE, "a second", [seen.per_second for seen in bare]))
    return made


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout")
    parser.add_argument("--rounds", type=int, default=4, help="for each (%(default)s)")
    parser.add_argument("--requests", type=int, default=3200, help="in a round (%(default)s)")
    parser.add_argument("--only", choices=["busy", "jobs"], help="one kind of request")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        asyncio.run(serve_bare())
        return
    checkouts = [ROOT] + ([given.against.resolve()] if given.against else [])
    kinds = {"busy": [BUSY], "jobs": [JOBS], None: [BUSY, JOBS]}[given.only]
    with tempfile.TemporaryDirectory() as scratch:
        found, bare = measure(checkouts, kinds, given.rounds, given.requests, Path(scratch))
    finish(rows_of(found, bare), given.json)


if __name__ == "__main__":
    main()
