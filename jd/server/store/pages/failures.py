"""Why attempts of the jobs of a filter have failed: counted by the kind of error (see `queue.errors`).

Attempts that were lost with their workers, or given back, are no failures of the script, here as elsewhere
(`queue.transitions`): they are told apart, and in nothing else that is counted.
Everything is counted from one index, so that hundreds of thousands of failures take a second or so.
"""

import itertools
import sqlite3
from collections import Counter
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue import errors, transitions
from jd.server.store.search import conditions, scanning
from jd.server.store.search.conditions import Filter, Sql, id_list
from jd.workername import split_worker_id

MAX_KINDS = 100  # that are told, those that matter most first
MAX_ALIKE = 1000  # jobs that are counted for the page of one
MAX_PLACES = 5  # hosts, workers and GPUs of one kind

# What has become of a job.
LEFT_OUT, GOOD, FAILED, AGAIN = range(4)

# attempt, when it ended, by whom, with which GPUs
_ATTEMPTS = ("SELECT error_id, job_id, number, ended_at, worker_id, gpus FROM attempts"
             " INDEXED BY attempts_by_error WHERE error_id IS NOT NULL ORDER BY error_id, job_id, number")
_PRESENT = tuple(status for status in p.JOB_STATUSES_ALL if status != p.DELETED)


class Place(NamedTuple):
    """A host, a worker or GPUs, and how many attempts failed there."""

    name: str
    n: int


class Example(NamedTuple):
    """The latest attempt that failed so."""

    job: int
    attempt: int
    worker: str
    error: str


class Kind(NamedTuple):
    """Failures of one kind. Of the `jobs` of which any attempt failed so, `good` are DONE by now, `failed`
    are ABORTED for good, and `again` wait, run or come back. Of places those with most are told."""

    id: int
    form: str
    verdict: str
    exit_code: Optional[int]
    attempts: int
    jobs: int
    good: int
    failed: int
    again: int
    first: float
    last: float
    hosts: List[Place]
    hosts_total: int
    workers: List[Place]
    workers_total: int
    gpus: List[Place]
    gpus_total: int
    example: Example


class Failures(NamedTuple):
    """Kinds of failures, first those by which most jobs stay failed, then most jobs; `total` of them there
    are. `jobs` of `tried` ones have failed once at least: those became `good`, stayed `failed`, or are tried
    `again`. `hosts` have workers; `catching_up`: failures of a version before are still being looked at.
    `interrupted` are kinds that are no failures of the script, and `stayed` counts the jobs of either sort
    that stay failed."""

    total: int
    attempts: int
    tried: int
    jobs: int
    good: int
    failed: int
    again: int
    hosts: int
    catching_up: bool
    kinds: List[Kind]
    interrupted: List[Kind]
    stayed: int


class Group(NamedTuple):
    """The attempts of one kind: (job, number, when, worker, GPUs), and the jobs."""

    id: int
    attempts: List[Tuple[int, int, Optional[float], str, Optional[str]]]
    jobs: List[int]
    became: "Counter[int]"


class Found(NamedTuple):
    """All groups of a filter, those that matter most first, and apart from them those that are no failures
    of the script; what has become of each job, by id; and which jobs have ended or failed: others can be
    compared with none."""

    groups: List[Group]
    interrupted: List[Group]
    state: bytearray
    ended: bytearray


def find(db: sqlite3.Connection, filter_text: str, now: float) -> Found:
    """The failures of the jobs of a filter. Raises ProtocolError for the filter."""
    state, ended = _states(db, conditions.compiled(db, filter_text, now))
    outside = {row[0] for row in db.execute(
        "SELECT id FROM error_kinds WHERE verdict IN (?, ?)", transitions.INTERRUPTIONS)}
    groups: List[Group] = []
    interrupted: List[Group] = []
    for error_id, rows in itertools.groupby(db.execute(_ATTEMPTS), key=lambda row: row[0]):
        attempts = [tuple(row[1:]) for row in rows if row[1] < len(state) and state[row[1]]]
        if not attempts:
            continue
        jobs = [job_id for job_id, _ in itertools.groupby(one[0] for one in attempts)]
        group = Group(error_id, attempts, jobs, Counter(state[job_id] for job_id in jobs))
        if error_id in outside:
            interrupted.append(group)
            continue
        groups.append(group)
        for job_id in jobs:
            ended[job_id] = 1
    for found in (groups, interrupted):
        found.sort(key=lambda one: (-one.became[FAILED], -len(one.jobs), -len(one.attempts), one.id))
    return Found(groups, interrupted, state, ended)


def _states(db: sqlite3.Connection, wanted: Filter) -> Tuple[bytearray, bytearray]:
    """What has become of each job, and whether it has ended, by id."""
    size = (db.execute("SELECT max(id) FROM jobs").fetchone()[0] or 0) + 1
    if not wanted.conditions and wanted.statuses == _PRESENT:
        # Jobs that were never tried have not failed: no need to look at each.
        state, ended = bytearray(bytes([AGAIN])) * size, bytearray(size)
        rows: Iterable[Tuple[int, str, int, bool]] = db.execute(
            "SELECT id, status, attempt, retry_at IS NOT NULL FROM jobs WHERE status IN (?, ?)",
            (p.ABORTED, p.DELETED))
        for (job_id,) in db.execute("SELECT id FROM jobs WHERE status = ?", (p.DONE,)):
            state[job_id] = GOOD
            ended[job_id] = 1
    else:
        state, ended = bytearray(size), bytearray(size)
        rows = scanning.View(db, wanted).everything(
            db, Sql("j.id, j.status, j.attempt, j.retry_at IS NOT NULL"))
    for job_id, status, attempt, comes_back in rows:
        over = status == p.ABORTED and not comes_back
        state[job_id] = {p.DONE: GOOD, p.DELETED: LEFT_OUT}.get(status, FAILED if over else AGAIN)
        ended[job_id] = attempt > 0 and (over or status == p.DONE)
        if status == p.DELETED and p.DELETED in wanted.statuses:
            state[job_id] = FAILED
    return state, ended


def take(db: sqlite3.Connection, filter_text: str, now: float) -> Failures:
    """The failures of a filter, for people. Raises ProtocolError for the filter."""
    found = find(db, filter_text, now)
    failed = {job_id for group in found.groups for job_id in group.jobs}
    became = Counter(found.state[job_id] for job_id in failed)
    host_of = dict(db.execute("SELECT worker_id, host FROM workers"))
    stayed = {job_id for group in (*found.groups, *found.interrupted) for job_id in group.jobs
              if found.state[job_id] == FAILED}
    shown, apart = found.groups[:MAX_KINDS], found.interrupted[:MAX_KINDS]
    told = {row[0]: row[1:] for row in db.execute(
        "SELECT id, form, verdict, exit_code FROM error_kinds WHERE id IN (%s)" % id_list(
            group.id for group in (*shown, *apart)))}
    return Failures(
        len(found.groups), sum(len(group.attempts) for group in found.groups), sum(found.ended), len(failed),
        became[GOOD], became[FAILED], became[AGAIN], len(set(host_of.values())), errors.is_catching_up(db),
        [_kind(db, group, told[group.id], host_of) for group in shown],
        [_kind(db, group, told[group.id], host_of) for group in apart], len(stayed))


def alike(db: sqlite3.Connection, job_id: int, attempt: int) -> Optional[Dict[str, int]]:
    """The kind by which an attempt of a job failed, and how many `jobs` failed so: MAX_ALIKE + 1 stands for
    more than that. None where it has not failed."""
    row = db.execute("SELECT error_id FROM attempts WHERE job_id = ? AND number = ?",
                     (job_id, attempt)).fetchone()
    if row is None or row[0] is None:
        return None
    n = db.execute(
        "SELECT count(*) FROM (SELECT DISTINCT a.job_id FROM attempts a INDEXED BY attempts_by_error"
        " CROSS JOIN jobs j WHERE a.error_id = ? AND j.id = a.job_id AND j.status <> ? LIMIT ?)",
        (row[0], p.DELETED, MAX_ALIKE + 1)).fetchone()[0]
    return {"kind": row[0], "jobs": n}


def _kind(db: sqlite3.Connection, group: Group, told: Sequence[object], host_of: Dict[str, str]) -> Kind:
    form, verdict, exit_code = told
    workers = Counter(one[3] for one in group.attempts)

    def host(worker_id: str) -> str:
        name = split_worker_id(worker_id)
        return host_of.get(worker_id) or (worker_id if name is None else name.host)

    hosts = _by(workers, host)
    gpus = Counter("%s GPU %s" % (host(one[3]), one[4]) for one in group.attempts if one[4] is not None)
    times = [one[2] or 0.0 for one in group.attempts]
    latest = max(group.attempts, key=lambda one: (one[2] or 0.0, one[0], one[1]))
    error = db.execute("SELECT error FROM attempts WHERE job_id = ? AND number = ?", latest[:2]).fetchone()[0]
    return Kind(
        group.id, str(form), str(verdict), exit_code if isinstance(exit_code, int) else None,
        len(group.attempts), len(group.jobs), group.became[GOOD], group.became[FAILED], group.became[AGAIN],
        min(times), max(times), _most(hosts), len(hosts), _most(workers), len(workers), _most(gpus),
        len(gpus), Example(latest[0], latest[1], latest[3], error or ""))


def _by(counts: "Counter[str]", name: Callable[[str], str]) -> "Counter[str]":
    """The same counts, by other names that several may share."""
    found: "Counter[str]" = Counter()
    for one, n in counts.items():
        found[name(one)] += n
    return found


def _most(counts: "Counter[str]") -> List[Place]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [Place(name, n) for name, n in ordered[:MAX_PLACES]]
