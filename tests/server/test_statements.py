"""What a claim with a result costs the database: statements and commits, whatever the machine."""

import sqlite3
import threading
from typing import Any, List, cast

import pytest

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
    assert len(counting.statements) <= 25, "\n".join(counting.statements)
    # Rows, those that triggers change as well; one of them is a sample, which is kept once in a minute.
    assert counting.total_changes - before <= 23
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
    assert len(counting.statements) <= 17 * count + 12, "\n".join(counting.statements)
    assert counting.total_changes - before <= 9 * count + 12


def test_jobs_are_made_by_few_statements(desk: Desk) -> None:
    """Each statement opens the table and twenty indexes, which takes longer than a row."""
    counting = Counting(desk.database._writer_connection)
    desk.database._writer_connection = cast(sqlite3.Connection, counting)
    desk.add(from_grid({"lr": list(range(100)), "opt": ["a", "b"], "seed": list(range(5))}))
    assert desk.counts() == {"PENDING": 1000}
    assert len(counting.statements) <= 120, len(counting.statements)  # of 4,000 rows


@pytest.mark.parametrize("prefetch", [5, 15])
def test_a_further_job_takes_only_the_statements_that_are_about_it(desk: Desk, prefetch: int) -> None:
    """What is asked for a heartbeat is asked once, however many jobs it brings and takes."""
    desk.create(2000)
    desk.beat("w", session="w")
    desk.beat("w", session="w", finished={"job_id": 1, "attempt": 1, "status": "DONE"})  # the first success
    counting = Counting(desk.database._writer_connection)
    desk.database._writer_connection = cast(sqlite3.Connection, counting)

    def ask(more: int, given: List[Any]) -> List[Any]:
        """The jobs that the next heartbeat gets, which brings the results of these."""
        results = [{"job_id": job.job_id, "attempt": job.attempt, "status": "DONE", "runtime": 1.0,
                    "ended_ago": 0.5, "output_tail": "done\n"} for job in given]
        counting.statements.clear()
        reply = desk.beat("w", session="w", prefetch=more, finished_before=results[:-1],
                          finished=results[-1]).reply
        assert reply.job is not None
        return [reply.job, *reply.prefetched]

    one = ask(0, [messages.Assignment(2, {}, 1)])
    alone = len(counting.statements)
    several = ask(prefetch, one)
    assert len(several) == 1 + prefetch
    # A claim is two statements; how many jobs wait is asked once, and how many are SERVED changes.
    assert len(counting.statements) == alone + 2 + 2 * prefetch, "\n".join(counting.statements)
    ask(0, several)
    assert len(counting.statements) <= alone + 1 + 7 * prefetch, "\n".join(counting.statements)
    assert counting.statements.count("COMMIT") == 1
