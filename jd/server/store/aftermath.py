"""What follows the end of an attempt, in the transaction that ends it; and what is counted once for all
operations of a commit.

So the claim that comes with a result sees what that result has led to. What nothing looks at before the
commit, the counters of a sweep that goes well, is written in front of it: a row of a counter changes once
then, and not with each job.
"""

import sqlite3
from typing import List

from jd import protocol as p
from jd.server.store.fleet import failing
from jd.server.store.operators import brokensweep
from jd.server.store.pages import completions
from jd.server.store.queue import jobs, runtimes
from jd.server.store.reports import columns
from jd.server.store.transaction import Ended, Happened, Transaction

# What seldom follows the end of an attempt that is DONE, asked in one statement, as each of them asks it.
_SELDOM = "SELECT %s, %s, %s" % (columns.ARE_DUE, failing.ARE_SUSPECT, brokensweep.IS_UNPROVEN)


def follow(t: Transaction, ended: Ended) -> None:
    """It is counted for the charts, its runtime tells how long jobs take, what it reported becomes results,
    and its worker may be marked as failing and paused, or the whole sweep be paused."""
    if ended.verdict != p.VERDICT_DONE:
        completions.count(t.db, [ended])
        columns.ended(t, ended.job_id)
        failing.judge(t, ended)
        brokensweep.judge(t, ended)
        return
    t.happened.ended.append(ended)
    counts = failing.succeeded(t, ended.worker_id)
    due, suspect, unproven = t.db.execute(_SELDOM, {
        "job_id": ended.job_id, "failing_after": t.policy.failing_after}).fetchone()
    if due:
        columns.ended(t, ended.job_id)
    if suspect and counts:
        failing.mark_suspect(t)
    if unproven:
        brokensweep.judge(t, ended)


def settle(db: sqlite3.Connection, happened: List[Happened]) -> None:
    """Count what the operations of a commit have caused, in front of it."""
    jobs.settle(db, happened)
    new = any(one.printed for one in happened), any(one.workers_changed for one in happened)
    if any(new):
        db.execute("UPDATE changes SET n = n + CASE topic WHEN 'output' THEN ? ELSE ? END"
                   " WHERE topic IN ('output', 'workers')", new)
    done = [ended for one in happened for ended in one.ended]
    if done:
        completions.count(db, done)
        runtimes.keep(db, done)
