"""A database in a temporary directory, driven by a clock that the test sets."""

import io
import json
import sqlite3
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

from jd import messages
from jd.clock import Clock
from jd.server.creation import createrequest
from jd.server.creation.batch import Batch
from jd.server.store import aftermath
from jd.server.store.files import files
from jd.server.store.fleet import workers
from jd.server.store.operators import batches
from jd.server.store.pages import joblist
from jd.server.store.policy import Policy
from jd.server.store.queue import ending, jobs
from jd.server.store.schema import MIGRATIONS
from jd.server.store.search import conditions, scanning
from jd.server.store.transaction import Happened, Transaction, remove_superseded
from jd.storage.database import Answer, Database, at_once

T = TypeVar("T")


def clock_at(now: Callable[[], float]) -> Clock:
    """A clock that nobody sets: `now` gives the time, and all of it passes."""
    return Clock(now, now)


def ordered(body: Any) -> Batch:
    """The jobs that the body of a request to create some asks for."""
    return createrequest.read(io.BytesIO(json.dumps(body).encode())).batch


def _settle(db: sqlite3.Connection, done: List[Any]) -> None:
    aftermath.settle(db, [happened for _, happened in done])


def put(t: Transaction, status: str, *ids: int) -> None:
    """Jobs are in a status from now on, however they came there."""
    for job_id in ids:
        before = jobs.find(t.db, job_id).status
        t.db.execute("UPDATE jobs SET status = ?, %s WHERE id = ?" % jobs.CHANGED, (status, job_id))
        jobs.moved(t, before, status)


class Desk:
    """Runs operations at `now` and waits for them, as a handler would; `happened` is what the last one
    that wrote has caused."""

    def __init__(self, directory: Path, policy: Policy = Policy()) -> None:
        self.policy = policy
        self.now = 1_000_000.0
        self.happened = Happened()
        self.data_dir = directory / "data"
        files.prepare(self.data_dir)
        self.database = Database(directory / "jobs.db", MIGRATIONS)

    def write(self, operation: Callable[[Transaction], T]) -> T:
        return self.submit(operation).result(60)[0]

    def submit(self, operation: Callable[[Transaction], T]) -> "Future[Tuple[T, Happened]]":
        def run(db: sqlite3.Connection) -> Tuple[T, Happened]:
            t = self.transaction(db)
            return operation(t), t.happened

        return self.database.write(run, deliver=self._give, settle=_settle)

    def _give(self, answers: List[Answer]) -> None:
        for answer in answers:
            if answer.problem is None:
                remove_superseded(answer.value[1])
        at_once(answers)

    def transaction(self, db: sqlite3.Connection) -> Transaction:
        t = Transaction(db, self.now, self.policy, aftermath.follow)
        self.happened = t.happened
        return t

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return self.database.read(operation).result(60)

    def create(self, count: int, **request: Any) -> None:
        self.add(ordered(dict({"parameters": {"x": list(range(count))}}, **request)))

    def add(self, batch: Batch, replace: Sequence[str] = ()) -> batches.Created:
        start_id = self.write(batches.begin)
        self.write(lambda t: batches.add(t, start_id, list(batch.texts()), batch.terms))
        while self.write(lambda t: batches.set_aside(t, start_id, replace)):
            pass
        return self.write(lambda t: batches.publish(t, start_id, batch.total))

    def beat(self, worker_id: str = "w", **fields: Any) -> workers.Answer:
        beat = messages.Heartbeat.from_json(dict({"worker_id": worker_id}, **fields))
        return self.write(lambda t: workers.heartbeat(t, beat))

    def claim(self, worker_id: str = "w", **fields: Any) -> messages.Assignment:
        """The job that a heartbeat gets."""
        job = self.beat(worker_id, **fields).reply.job
        assert job is not None
        return job

    def finish(self, job_id: int, status: str = "DONE", **fields: Any) -> None:
        result = messages.Result.from_json(dict({"job_id": job_id, "status": status}, **fields))
        self.write(lambda t: ending.finish(t, result))

    def sql(self, text: str, *values: Any) -> Any:
        """The value that a query gives."""
        return self.read(lambda db: db.execute(text, values).fetchone()[0])

    def job(self, job_id: int) -> Any:
        return self.read(lambda db: joblist.select(db, joblist.JobQuery(ids=[job_id]))).jobs[0]

    def status(self, job_id: int) -> Optional[str]:
        return self.read(lambda db: joblist.statuses(db, [job_id])).get(str(job_id))

    def found(self, text: str) -> List[int]:
        """Ids that a filter finds, a few at a time."""
        ids: List[int] = []
        after: Optional[int] = 0
        while after is not None:
            start = after
            step = self.read(lambda db: scanning.matching(
                db, conditions.compiled(db, text, self.now), start, 3))
            ids += step.ids
            after = step.next
        return ids

    def counts(self) -> Dict[str, int]:
        return {status: n for status, n in self.read(jobs.counts).items() if n}
