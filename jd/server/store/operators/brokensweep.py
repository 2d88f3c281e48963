"""A sweep whose first attempts all failed pauses itself: a broken script costs ten attempts, not all.

What counts are failures since the jobs were created, or since a person went on after such a pause, as long as
no attempt has succeeded. A success ends the counting until jobs are created again. One worker alone pauses
nothing while others are there: it may be the one that is broken, and they may be at their first jobs still.
"""

import json
from typing import NamedTuple, Sequence

from jd import protocol as p
from jd.server.store.operators import options
from jd.server.store.queue.transitions import FAILURES
from jd.server.store.transaction import Ended, Transaction

FIRST = 10  # attempts
MAX_LINE = 200  # characters of how the last one ended

_COUNT = "first_attempts"  # the setting: what is counted as JSON, or _PROVEN
_PROVEN = "succeeded"
# Whether a success would end the counting.
IS_UNPROVEN = "NOT EXISTS (SELECT 1 FROM settings WHERE name = '%s' AND value = '%s')" % (_COUNT, _PROVEN)


class _Count(NamedTuple):
    failed: int = 0
    workers: Sequence[str] = ()  # on which they failed, two at most


def judge(t: Transaction, ended: Ended) -> None:
    """An attempt has ended."""
    row = t.db.execute("SELECT value FROM settings WHERE name = ?", (_COUNT,)).fetchone()
    if row is not None and row[0] == _PROVEN:
        return
    if ended.verdict == p.VERDICT_DONE:
        _keep(t, _PROVEN)
    elif ended.verdict in FAILURES:
        count = _Count() if row is None else _Count(*json.loads(row[0]))
        known = sorted({*count.workers, ended.worker_id})[:2]
        count = _Count(count.failed + 1, known)
        _keep(t, json.dumps(count))
        if count.failed >= FIRST and t.policy.pause_broken and not t.policy.paused and (
                len(known) > 1 or _is_alone(t)):
            _pause(t, count.failed, ended.job_id)


def begin(t: Transaction) -> None:
    """Jobs were created: whether their script works is to be seen."""
    t.db.execute("DELETE FROM settings WHERE name = ? AND value = ?", (_COUNT, _PROVEN))


def _pause(t: Transaction, failed: int, job_id: int) -> None:
    t.db.execute("DELETE FROM settings WHERE name = ?", (_COUNT,))
    why = "its first %d attempts all failed; the last: %s" % (failed, _last_words(t, job_id))
    options.save(t, {"paused": True}, why)
    t.happened.said.append("the experiment pauses itself, since %s" % why)


def _last_words(t: Transaction, job_id: int) -> str:
    """How the latest attempt of a job ended, with its error line."""
    message, error = t.db.execute(
        "SELECT a.message, a.error FROM attempts AS a JOIN jobs AS j ON j.id = a.job_id"
        " AND j.attempt = a.number WHERE j.id = ?", (job_id,)).fetchone()
    first = message.splitlines()[0] if message else ""
    words = [text for text in dict.fromkeys((first, error)) if text]
    return ": ".join(words)[:MAX_LINE] or "no output"


def _is_alone(t: Transaction) -> bool:
    """Whether one worker at most is active."""
    return len(t.db.execute("SELECT 1 FROM workers WHERE left_at IS NULL LIMIT 2").fetchall()) < 2


def _keep(t: Transaction, value: str) -> None:
    t.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_COUNT, value))
