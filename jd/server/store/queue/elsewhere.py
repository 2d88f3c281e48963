"""A job that has failed is tried elsewhere: on another host, else by another worker of the host.

A claim passes over a job that failed on its worker while another worker could take it, and one that failed on
its host while a worker of another host could. That lasts for one pause of a retry since the job came back;
then anybody takes it. What was preempted or lost says nothing about where it ran.
"""

import json
import sqlite3
from typing import Dict, List, Optional

from jd import protocol as p
from jd.server.store.queue.timeleft import Waiting
from jd.server.store.queue.transitions import FAILURES
from jd.server.store.transaction import Transaction
from jd.workername import split_worker_id

MOST = 200  # jobs that one claim passes over
HEARD_OF = p.IDLE_INTERVAL + 20.0  # seconds since the last heartbeat of a worker that could take a job

_FAILED = ("SELECT a.worker_id, w.host FROM attempts AS a LEFT JOIN workers AS w ON w.worker_id = a.worker_id"
           " WHERE a.job_id = ? AND a.verdict IN (%s)" % ", ".join("'%s'" % verdict for verdict in FAILURES))
_ABLE = ("SELECT worker_id, host, machine_type, tags FROM workers WHERE left_at IS NULL AND last_seen >= ?"
         " AND desired_state = 'run' AND failing = 0")


class GivenUp(Exception):
    """A claim has passed over MOST jobs: it looks no further."""


class Elsewhere:
    """What the claim of one worker passes over."""

    def __init__(self, db: sqlite3.Connection, worker_id: str, now: float) -> None:
        self._db = db
        self._worker_id = worker_id
        self._now = now
        self._passed_over = 0
        self._able: Dict[Optional[int], Dict[str, str]] = {}

    def passes_over(self, job: Waiting) -> bool:
        """Whether the job is for another worker. Raises GivenUp where there have been too many of these."""
        if job.elsewhere_until is None or job.elsewhere_until <= self._now or not self._is_better_off(job):
            return False
        self._passed_over += 1
        if self._passed_over >= MOST:
            raise GivenUp()
        return True

    def _is_better_off(self, job: Waiting) -> bool:
        """Whether a worker that could take the job is farther from where it failed than this one."""
        failed = {worker: host or _host(worker) for worker, host in self._db.execute(_FAILED, (job.id,))}
        if self._worker_id in failed:
            return any(worker not in failed for worker in self._workers(job.needs_id))
        if not failed:
            return False
        row = self._db.execute("SELECT host FROM workers WHERE worker_id = ?", (self._worker_id,)).fetchone()
        hosts = set(failed.values())
        return row is not None and row[0] in hosts and any(
            host not in hosts for host in self._workers(job.needs_id).values())

    def _workers(self, kind: Optional[int]) -> Dict[str, str]:
        """The workers that could take jobs of this kind, with their hosts."""
        if kind not in self._able:
            needs: List[str] = [] if kind is None else json.loads(self._db.execute(
                "SELECT tags FROM needs WHERE id = ?", (kind,)).fetchone()[0])
            self._able[kind] = {
                worker: host for worker, host, machine_type, tags in self._db.execute(
                    _ABLE, (self._now - HEARD_OF,))
                if not needs or {machine_type, *json.loads(tags)}.issuperset(needs)}
        return self._able[kind]


def _host(worker_id: str) -> str:
    """The host of a worker that was forgotten, as its name tells."""
    name = split_worker_id(worker_id)
    return "" if name is None else name.host


def restart(t: Transaction) -> None:
    """The server starts: no job waits for longer than if it had come back now, however the clock was set
    meanwhile."""
    t.db.execute("UPDATE jobs SET elsewhere_until = min(elsewhere_until, ? + coalesce(retry_pause, ?))"
                 " WHERE elsewhere_until > ?", (t.now, t.policy.retry_pause, t.now))


def end_due(t: Transaction, limit: int) -> bool:
    """Let anybody have the jobs that have waited long enough for another worker, `limit` at most. Returns
    whether there may be more."""
    due = t.db.execute("SELECT id, status FROM jobs INDEXED BY jobs_elsewhere WHERE elsewhere_until <= ?"
                       " LIMIT ?", (t.now, limit)).fetchall()
    t.db.executemany("UPDATE jobs SET elsewhere_until = NULL WHERE id = ?", ((row[0],) for row in due))
    t.happened.pending += sum(status == p.PENDING for _, status in due)
    return len(due) == limit


def look_again(t: Transaction) -> None:
    """A worker takes no more jobs: those that waited for it may be for those who passed them over."""
    if t.db.execute("SELECT 1 FROM jobs INDEXED BY jobs_elsewhere WHERE elsewhere_until IS NOT NULL"
                    " AND status = 'PENDING' LIMIT 1").fetchone() is not None:
        t.happened.pending += 1
