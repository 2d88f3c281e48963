"""How many attempts ended when: counted as they end, by minute, hour and day, by host and for all.

A row is a bucket: its first second (Unix time; days are UTC), a host ('' for all), a verdict. So a
chart costs the same after a thousand jobs and after a million.
"""

import sqlite3
from collections import Counter
from typing import Iterable, List, NamedTuple

from jd import protocol as p
from jd.server.store.queue import transitions
from jd.server.store.transaction import Ended, Transaction
from jd.workername import split_worker_id

MINUTE = "minute"
HOUR = "hour"
DAY = "day"
SECONDS = {MINUTE: 60, HOUR: 3600, DAY: 86400}
SHOWN = {MINUTE: 60, HOUR: 48, DAY: 30}  # buckets of a chart
KEPT = {MINUTE: 2 * 86400, HOUR: 60 * 86400}  # seconds; days are kept for ever

ALL_HOSTS = ""
UNKNOWN_HOST = "unknown"  # of a worker that says none, whose id has none either
MAX_HOSTS = 500


# In one statement for all units, since every end of an attempt does it.
_COUNT = ("INSERT INTO completions (unit, start, host, verdict, n) VALUES %s"
          " ON CONFLICT (unit, start, host, verdict) DO UPDATE SET n = n + excluded.n"
          % ", ".join("('%s', :at / %d * %d, :host, :verdict, :n)" % (unit, step, step)
                      for unit, step in SECONDS.items()))


class Series(NamedTuple):
    """Attempts that ended, by bucket, the oldest first; the last bucket holds `now`."""

    unit: str
    start: int  # Unix seconds at which the first bucket begins
    step: int   # seconds
    done: List[int]
    failed: List[int]  # by the script: failed, killed, oom, timeout
    other: List[int]   # preempted, lost, stopped


def count(db: sqlite3.Connection, ended: Iterable[Ended]) -> None:
    """These attempts ended."""
    minute = SECONDS[MINUTE]
    counted = Counter((int(one.at) // minute * minute, host, one.verdict) for one in ended
                      for host in (ALL_HOSTS, _host(one)))
    db.executemany(_COUNT, [{"at": at, "host": host, "verdict": verdict, "n": n}
                            for (at, host, verdict), n in counted.items()])


def _host(ended: Ended) -> str:
    if ended.host:
        return ended.host
    name = split_worker_id(ended.worker_id)
    return name.host if name is not None else UNKNOWN_HOST


def series(db: sqlite3.Connection, unit: str, host: str, now: float) -> Series:
    """The last SHOWN buckets of a unit; `host` is '' for all of them."""
    step, count = SECONDS[unit], SHOWN[unit]
    start = int(now) // step * step - (count - 1) * step
    found = Series(unit, start, step, [0] * count, [0] * count, [0] * count)
    for at, verdict, n in db.execute(
            "SELECT start, verdict, n FROM completions"
            " WHERE unit = ? AND start BETWEEN ? AND ? AND host = ?",
            (unit, start, start + (count - 1) * step, host)):
        if verdict == p.VERDICT_DONE:
            numbers = found.done
        else:
            numbers = found.failed if verdict in transitions.FAILURES else found.other
        numbers[(at - start) // step] += n
    return found


def hosts(db: sqlite3.Connection, now: float) -> List[str]:
    """Hosts on which attempts ended within the last 30 days, by name, at most MAX_HOSTS."""
    return [host for (host,) in db.execute(
        "SELECT DISTINCT host FROM completions WHERE unit = 'day' AND start > ? AND host <> ''"
        " ORDER BY host LIMIT ?", (now - SHOWN[DAY] * SECONDS[DAY], MAX_HOSTS))]


def prune(t: Transaction, limit: int) -> int:
    """Remove at most `limit` rows of each unit that are older than KEPT says. Returns how many."""
    removed = 0
    for unit, seconds in KEPT.items():
        removed += t.db.execute(
            "DELETE FROM completions WHERE (unit, start, host, verdict) IN ("
            "SELECT unit, start, host, verdict FROM completions WHERE unit = ? AND start < ?"
            " LIMIT ?)", (unit, t.now - seconds, limit)).rowcount
    return removed
