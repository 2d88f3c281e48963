"""Why attempts have failed: the error line of each that did, and the kind of failure that it is of.

Two failures are of one kind where the lines have one form (`errorform`), and verdict and exit status are the
same. Kinds have numbers, which pages and filters name them by. An attempt that is DONE, or was stopped by a
person, has none.
"""

import json
import sqlite3
from typing import Any, Optional

from jd import protocol as p
from jd.server.store import errorform, errorline
from jd.server.store.transaction import Transaction
from jd.workername import split_worker_id

FAILED = (p.VERDICT_FAILED, p.VERDICT_KILLED, p.VERDICT_OOM, p.VERDICT_TIMEOUT, p.VERDICT_PREEMPTED,
          p.VERDICT_LOST)
MOST_KINDS = 10_000  # a script whose last words are different each time makes no more
OTHERS = "(other errors)"  # the form of what comes then
MOST = 400  # characters of a line that are kept
MISSING = "errors_missing"  # in `settings`: "<last job done> <last job>", left by the migration
_MOST_GPUS = 100  # characters

# Texts as bytes: damaged ones may be none any more, and an attempt ends all the same.
_ROW = ("SELECT a.verdict, a.exit_code, CAST(a.message AS BLOB), CAST(a.output_tail AS BLOB), a.worker_id,"
        " CAST(coalesce(a.system_metrics, w.system_metrics) AS BLOB), w.host FROM attempts AS a"
        " LEFT JOIN workers AS w ON w.worker_id = a.worker_id WHERE a.job_id = ? AND a.number = ?")


def keep(t: Transaction, job_id: int, number: int) -> None:
    """Find the error line of an attempt that has ended, and keep it with its kind."""
    row = t.db.execute(_ROW, (job_id, number)).fetchone()
    if row is None or row[0] not in FAILED:
        return
    verdict, exit_code, message, tail, worker_id, metrics, host = row
    line = errorline.of(verdict, exit_code, _text(message), _text(tail))
    form = errorform.normal(line, host or _host(worker_id))
    t.db.execute("UPDATE attempts SET error = ?, error_id = ?, gpus = ? WHERE job_id = ? AND number = ?",
                 (line if len(line) <= MOST else line[:MOST - 1] + "…",
                  _kind(t, form, verdict, exit_code), _gpus(metrics), job_id, number))


def _text(stored: Optional[bytes]) -> str:
    return (stored or b"").decode("utf-8", "replace")


def _kind(t: Transaction, form: str, verdict: str, exit_code: Optional[int]) -> int:
    """The number of a kind, which it gets now if it has none."""
    for tried in (form, OTHERS):
        row = t.db.execute("SELECT id FROM error_kinds WHERE form = ? AND verdict = ? AND exit_code IS ?",
                           (tried, verdict, exit_code)).fetchone()
        if row is not None:
            return int(row[0])
        if tried == OTHERS or t.db.execute("SELECT coalesce(max(id), 0) < ? FROM error_kinds",
                                           (MOST_KINDS,)).fetchone()[0]:
            break
    added = t.db.execute("INSERT INTO error_kinds (form, verdict, exit_code) VALUES (?, ?, ?)",
                         (tried, verdict, exit_code))
    return int(added.lastrowid or 0)


def _gpus(metrics: Optional[bytes]) -> Optional[str]:
    """Which GPUs the worker of an attempt had, as it says with its heartbeats; None where it does not."""
    try:
        told: Any = json.loads(metrics).get("gpus") if metrics else None
    except (ValueError, AttributeError, RecursionError):
        return None  # damaged
    return str(told)[:_MOST_GPUS] if isinstance(told, (str, int)) and told not in ("", "none") else None


def _host(worker_id: str) -> Optional[str]:
    """The host of a worker that was forgotten, as its name tells."""
    name = split_worker_id(worker_id)
    return None if name is None else name.host


def keep_missing(t: Transaction, first: int, last: int) -> bool:
    """Do so with the attempts of some jobs that have ended without. Returns whether there were any."""
    found = t.db.execute(
        "SELECT job_id, number FROM attempts WHERE job_id BETWEEN ? AND ? AND error_id IS NULL"
        " AND verdict IN (%s)" % ", ".join("'%s'" % verdict for verdict in FAILED), (first, last)).fetchall()
    for job_id, number in found:
        keep(t, job_id, number)
    return bool(found)


def is_catching_up(db: sqlite3.Connection) -> bool:
    """Whether attempts from before there were error lines are still to be looked at."""
    return db.execute("SELECT 1 FROM settings WHERE name = ?", (MISSING,)).fetchone() is not None


def catch_up(t: Transaction, limit: int) -> bool:
    """Find the error lines of some jobs from before there were any. Returns whether there may be more."""
    row = t.db.execute("SELECT value FROM settings WHERE name = ?", (MISSING,)).fetchone()
    if row is None:
        return False
    done, last = map(int, row[0].split())
    up_to = min(last, done + limit)
    if keep_missing(t, done + 1, up_to):
        t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'jobs'")
    if up_to == last:
        t.db.execute("DELETE FROM settings WHERE name = ?", (MISSING,))
        return False
    t.db.execute("UPDATE settings SET value = ? WHERE name = ?", ("%d %d" % (up_to, last), MISSING))
    return True
