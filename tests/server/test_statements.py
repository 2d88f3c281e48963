"""What a claim with a result costs the database: statements and commits, whatever the machine."""

import sqlite3
import threading
from typing import Any, List, cast

from jd import messages
from jd.server.creation.batch import from_grid
from jd.server.store.fleet import workers
from tests.server.store_support import Desk


class Counting:
    """A connection that notes what it is asked to do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.statements: List[str] = []

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        self.statements.append(statement)
        return self._connection.execute(statement, *arguments)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        several = list(rows)
        self.statements += [statement] * len(several)
        return self._connection.executemany(statement, several)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_a_result_and_the_next_claim_take_few_statements_and_one_commit(desk: Desk) -> None:
    desk.create(200)
    sessions = ["w%d" % number for number in range(20)]
    jobs = {name: desk.claim(name, session=name) for name in sessions}
    beats = [messages.Heartbeat.from_json(
        {"worker_id": name, "session": name, "reported_status": "idle", "system_metrics": {"cpu_util": 1.5},
         "finished": {"job_id": job.job_id, "attempt": job.attempt, "status": "DONE", "runtime": 1.0,
                      "output_tail": "done\n"}}) for name, job in jobs.items()]
    desk.write(lambda t: workers.heartbeat(t, beats.pop()))  # the first success of a sweep is remembered
    counting = Counting(desk.database._writer_connection)
    desk.database._writer_connection = cast(sqlite3.Connection, counting)
    before = counting.total_changes
    answer = desk.write(lambda t: workers.heartbeat(t, beats.pop()))
    assert answer.reply.job is not None
    assert len(counting.statements) <= 26, "\n".join(counting.statements)
    # Rows, those that triggers change as well; one of them is a sample, which is kept once in a minute.
    assert counting.total_changes - before <= 24
    assert counting.statements.count("COMMIT") == 1  # as many times the disk is waited for

    begun, all_there = threading.Event(), threading.Event()

    def hold(_db: sqlite3.Connection) -> None:
        begun.set()
        all_there.wait(60)

    held = desk.database.write(hold)
    assert begun.wait(60)
    counting.statements.clear()
    before, count = counting.total_changes, len(beats)
    together = [desk.submit(lambda t, beat=beat: workers.heartbeat(t, beat))  # type: ignore[misc]
                for beat in beats]
    all_there.set()
    held.result(60)
    assert all(future.result(60)[0].reply.job is not None for future in together)
    assert counting.statements.count("COMMIT") == 2  # that of whom they waited for, and theirs
    # What is counted once for all of them does not stand in their way one by one.
    assert len(counting.statements) <= 18 * count + 12, "\n".join(counting.statements)
    assert counting.total_changes - before <= 10 * count + 12


def test_jobs_are_made_by_few_statements(desk: Desk) -> None:
    """Each statement opens the table and twenty indexes, which takes longer than a row."""
    counting = Counting(desk.database._writer_connection)
    desk.database._writer_connection = cast(sqlite3.Connection, counting)
    desk.add(from_grid({"lr": list(range(100)), "opt": ["a", "b"], "seed": list(range(5))}))
    assert desk.counts() == {"PENDING": 1000}
    assert len(counting.statements) <= 120, len(counting.statements)  # of 4,000 rows
