"""Clients of a job server, thousands in one process, for `bench_load.py`: each does what the protocol says
that its kind does, and notes what it saw.
"""

import asyncio
import json
import math
import random
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, AsyncIterator, Dict, List, Tuple
from typing import Counter as Counts

from jd import protocol as p

RUNTIME = 1.0  # seconds of a short job
PATIENCE = 60.0  # seconds beyond what an answer may be held
DRIP = 1.0  # seconds between two bytes of a slow-loris
Answer = Tuple[int, bytes]
Connection = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Seen:
    """What the clients saw. Times are in seconds."""

    pickup: List[float] = field(
        default_factory=list
    )  # from the request that makes a job to its worker's answer
    beats: List[float] = field(default_factory=list)  # of busy heartbeats that are answered at once
    late: List[float] = field(default_factory=list)  # of held heartbeats, beyond what they were to be held
    pages: List[float] = field(default_factory=list)  # of a dashboard's table
    created: int = 0
    finished: int = 0
    events: int = 0
    cut_off: int = 0  # slow-loris connections that the server has ended
    open: Counts[str] = field(default_factory=Counter)  # connections by kind
    errors: Counts[str] = field(default_factory=Counter)
    since: float = math.inf  # when all were there, by the monotonic clock: what began before does not count

    def note(self, figures: List[float], began: float, held: float = 0.0) -> None:
        """Keep how long ago something began, less what it was held, if it is of the time that counts."""
        if began >= self.since:
            figures.append(time.monotonic() - began - held)

    def error(self, kind: str, what: object) -> None:
        """Something that must not be."""
        self.errors["%s: %s" % (kind, str(what)[:200])] += 1


class Clients:
    """All of them, against one server. `stop` ends what they do between two calls."""

    def __init__(self, api: int, dashboard: int, cookie: str, seen: Seen, seed: int) -> None:
        self._api = api
        self._dashboard = dashboard
        self._cookie = cookie
        self._seen = seen
        self._random = random.Random(seed)

    # ---- calls, one after the other on one connection, as those of workers are

    @asynccontextmanager
    async def _connection(self, kind: str, port: int) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._seen.open[kind] += 1
        try:
            yield reader, writer
        finally:
            self._seen.open[kind] -= 1
            writer.close()

    async def _call(self, connection: Connection, route: str, body: Any, held: float = 0.0) -> Dict[str, Any]:
        """POST to the API; the answer's object. Raises OSError, EOFError, ValueError for any other answer."""
        reader, writer = connection
        data = json.dumps(body).encode("ascii")
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (route.encode("ascii"), len(data), data)
        )
        status, content = await asyncio.wait_for(_answer(reader), held + PATIENCE)
        if status != 200:
            raise ValueError("%s answered %d: %s" % (route, status, content[:100].decode("latin-1")))
        return dict(json.loads(content))

    # ---- workers

    async def idle(self, number: int) -> None:
        """A worker that waits for jobs with a held heartbeat, runs what it gets, and waits again."""
        async with self._connection("idle", self._api) as connection:
            await self._idle(connection, number)

    async def _idle(self, connection: Connection, number: int) -> None:
        beat = _beat("idle-%d" % number)
        beat["wait"] = self._random.uniform(1.0, p.MAX_WAIT)  # so that they do not come back all at once
        while True:
            began = time.monotonic()
            job = (await self._call(connection, p.HEARTBEAT, beat, beat["wait"]))["job"]
            beat.pop("finished", None)
            if job is None:
                self._seen.note(self._seen.late, began, beat["wait"])
            else:
                self._seen.note(self._seen.pickup, job["parameters"]["at"])
                await asyncio.sleep(RUNTIME)
                self._seen.finished += 1
                beat["finished"] = _result(job)
            beat["wait"] = p.MAX_WAIT

    async def busy(self, number: int) -> None:
        """A worker whose job goes on and on: a heartbeat that is answered at once, then one that is held."""
        async with self._connection("busy", self._api) as connection:
            await self._busy(connection, number)

    async def _busy(self, connection: Connection, number: int) -> None:
        beat = _beat("busy-%d" % number)
        job = (await self._call(connection, p.HEARTBEAT, dict(beat, wait=30.0), 30.0))["job"]
        if job is None:
            raise ValueError("a busy worker got no job")
        beat.update(
            reported_status=p.BUSY,
            current_job_id=job["job_id"],
            attempt=job["attempt"],
            output_tail="epoch 3\n",
        )
        wait = self._random.uniform(1.0, p.BUSY_INTERVAL)
        while True:
            began = time.monotonic()
            await self._call(connection, p.HEARTBEAT, beat)
            self._seen.note(self._seen.beats, began)
            began = time.monotonic()
            await self._call(connection, p.HEARTBEAT, dict(beat, wait=wait), wait)
            self._seen.note(self._seen.late, began, wait)
            wait = p.BUSY_INTERVAL

    async def create(self, per_second: int) -> None:
        """A program that makes a few jobs each second."""
        due = time.monotonic()
        async with self._connection("create", self._api) as connection:
            while True:
                due += 1.0
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                now = time.monotonic()
                jobs = [{"at": now, "n": n} for n in range(per_second)]
                await self._call(connection, "/api/jobs/create", {"jobs": jobs})
                self._seen.created += per_second

    # ---- others

    async def loris(self, _: int) -> None:
        """Somebody who sends a request one byte at a time, and begins anew when the server has enough."""
        request = b"POST /worker/heartbeat HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"a" * 10_000
        while True:
            async with self._connection("slow-loris", self._api) as (reader, writer):
                ended = asyncio.ensure_future(reader.read(1))
                for at in range(len(request)):
                    try:
                        writer.write(request[at : at + 1])
                        await writer.drain()
                    except OSError:
                        break
                    if (await asyncio.wait([ended], timeout=DRIP))[0]:
                        break
                ended.cancel()
                await asyncio.gather(ended, return_exceptions=True)
            self._seen.cut_off += 1

    async def viewer(self, _: int) -> None:
        """An open dashboard: its live connection, and the first page of jobs once a second."""
        await asyncio.gather(self._live(), self._table())

    async def _live(self) -> None:
        async with self._connection("dashboard", self._dashboard) as (reader, writer):
            writer.write(self._get("/web/events"))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ValueError("/web/events answered %s" % head[9:40].decode("latin-1"))
            while True:
                line = await reader.readline()
                if not line:
                    raise ValueError("a live connection has ended")
                self._seen.events += line.startswith(b"event:")

    async def _table(self) -> None:
        async with self._connection("dashboard", self._dashboard) as (reader, writer):
            while True:
                await asyncio.sleep(self._random.uniform(0.9, 1.1))
                began = time.monotonic()
                writer.write(self._get("/web/jobs"))
                status, content = await asyncio.wait_for(_answer(reader), PATIENCE)
                self._seen.note(self._seen.pages, began)
                if status != 200:
                    raise ValueError("/web/jobs answered %d: %s" % (status, content[:100].decode("latin-1")))

    def _get(self, route: str) -> bytes:
        return ("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: %s\r\n\r\n" % (route, self._cookie)).encode(
            "ascii"
        )


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
    return int(lines[0].split(b" ")[1]), await reader.readexactly(length)


def _beat(name: str) -> Dict[str, Any]:
    return {
        "worker_id": name.replace("-", "_egg_"),
        "host": name,
        "machine_type": "bench",
        "reported_status": p.IDLE,
        "current_job_id": None,
        "applied_version": 0,
        "system_metrics": {"cpu_util": 50.0},
        "session": name,
    }


def _result(job: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "job_id": job["job_id"],
        "attempt": job["attempt"],
        "status": p.DONE,
        "message": "",
        "exit_code": 0,
        "runtime": RUNTIME,
        "output_tail": "done\n",
    }
