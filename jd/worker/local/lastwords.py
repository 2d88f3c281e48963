"""What servers are told of workers that have ended, and what becomes of the jobs that these had.

A worker that is stopped gives its job back itself, when the script has saved its last checkpoint: whoever
told the server first would have that checkpoint refused. So servers are told afterwards, and give back what a
worker that was killed, or had died, still holds.
"""

import socket
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import jd
from jd import protocol
from jd.messages import Heartbeat
from jd.worker.local.notices import Notice, problems, tell, to_server_of
from jd.worker.local.rows import Row

STOP_TIME = 3.0  # seconds for telling the servers of workers that were stopped
DEATH_TIME = 1.0  # for telling them of workers that were found dead: somebody waits for a launch
ASK_TIME = 1.0  # for asking what their jobs are
_IDS = 500  # jobs in one question

REQUEUED = "requeued"
ABORTED = "aborted"
DONE = "done"
LEASED = "leased"
_SAID = {
    REQUEUED: "job %d goes back to the queue",
    ABORTED: "job %d was aborted there; it comes back if the server retries",
    DONE: "job %d is done",
    LEASED: "job %d comes back when its lease is over",
}
_FATES = {protocol.DONE: DONE, protocol.ABORTED: ABORTED}



Worker = Tuple[str, str]  # experiment and worker id: several experiments may have the same ids


@dataclass(frozen=True)
class Fate:
    """What became of a worker's job: requeued, aborted, done, or leased where the server does not know that
    the worker has ended."""

    job_id: int
    fate: str

    def __str__(self) -> str:
        return _SAID[self.fate] % self.job_id


class Told(NamedTuple):
    """The fates of jobs by experiment and worker id, and why servers were not told, by URL."""

    fates: Dict[Worker, Fate]
    problems: Dict[str, str]


def stopped(rows: Sequence[Row], action: str, environ: Mapping[str, str]) -> Told:
    """Tell the servers that a command has stopped workers, all of which have ended. `action` is one of
    protocol.CLI_ACTIONS."""
    return _told(rows, lambda row: to_server_of(row, protocol.CLI_STOP, _stop(row, action), environ),
                 STOP_TIME, _after_stop, environ)


def died(rows: Sequence[Row], environ: Mapping[str, str]) -> Told:
    """Say the last word of workers that were found dead, so that their servers give back at once what they
    hold. Nothing is said for those that no server has answered."""
    known = [row for row in rows if row.session]
    return _told(known,
                 lambda row: to_server_of(row, protocol.HEARTBEAT, _last_word(row, len(known)), environ),
                 DEATH_TIME, _after_death, environ)


def worker_of(row: Row) -> Worker:
    """What the fate of a row's job is found by."""
    return row.experiment, row.worker_id


def _stop(row: Row, action: str) -> Dict[str, Any]:
    """The base has neither `requeue` nor `session`. A worker of ours has a session here once its server has
    offered that. What the server of a published client is cannot be seen; the base passes over a field."""
    said: Dict[str, Any] = {"worker_id": row.worker_id, "action": action,
                            "source": socket.gethostname() or "unknown"}
    if row.session or row.is_published:
        said["requeue"] = True
    if row.session:
        said["session"] = row.session
    return said


def _last_word(row: Row, died: int) -> Dict[str, Any]:
    # Busy, so that no server answers with a job.
    return Heartbeat(row.worker_id, row.host[:protocol.MAX_NAME_CHARS], row.machine_type,
                     protocol.BUSY, jd_worker_version=jd.__version__, session=row.session, leave=True,
                     exp_id=row.experiment, tags=row.tags, died=died).to_json()


# ---- what became of the job

def _after_stop(row: Row, answer: Dict[str, Any]) -> Optional[Fate]:
    requeued = answer.get("job_requeued")
    if isinstance(requeued, int):
        return Fate(requeued, REQUEUED)
    if row.current_job_id is not None and answer.get("job_aborted") is True:
        return Fate(row.current_job_id, ABORTED)  # a server that does not know `requeue`
    return None


def _after_death(row: Row, answer: Dict[str, Any]) -> Optional[Fate]:
    extensions = answer.get("extensions")
    if row.current_job_id is not None and protocol.EXT_LEAVE not in (extensions or ()):
        return Fate(row.current_job_id, LEASED)
    return None


def _told(rows: Sequence[Row], notice_of: Callable[[Row], Optional[Notice]], seconds: float,
          fate_in: Callable[[Row, Dict[str, Any]], Optional[Fate]], environ: Mapping[str, str]) -> Told:
    """Tell the servers of `rows`; of jobs whose fate is not in the answer they are asked."""
    addressed = [(row, notice) for row in rows for notice in [notice_of(row)] if notice is not None]
    notices = [notice for _, notice in addressed]
    replies = tell(notices, seconds)
    fates: Dict[Worker, Fate] = {}
    to_ask: List[Tuple[Row, int]] = []
    for (row, _), reply in zip(addressed, replies):
        fate = None if reply.answer is None else fate_in(row, reply.answer)
        if fate is not None:
            fates[worker_of(row)] = fate
        elif row.current_job_id is not None and reply.answer is None:
            fates[worker_of(row)] = Fate(row.current_job_id, LEASED)
        elif row.current_job_id is not None:
            to_ask.append((row, row.current_job_id))
    statuses = _statuses(to_ask, environ)
    for row, job_id in to_ask:
        # Its worker gave it back, or this did; another one may have it by now.
        status = statuses.get((row.experiment, job_id), protocol.PENDING)
        fates[worker_of(row)] = Fate(job_id, _FATES.get(status, REQUEUED))
    return Told(fates, problems(notices, replies))


def _statuses(jobs: Sequence[Tuple[Row, int]], environ: Mapping[str, str]) -> Dict[Tuple[str, int], str]:
    """What jobs are now, by experiment and number; without those that a server does not tell. A guest of
    somebody's experiment may not ask."""
    by_server: Dict[Tuple[str, str], List[Tuple[Row, int]]] = {}
    for row, job_id in jobs:
        by_server.setdefault((row.experiment, row.server), []).append((row, job_id))
    asked: List[Tuple[str, Notice]] = []
    for (experiment, _), its in by_server.items():
        for start in range(0, len(its), _IDS):
            some = its[start:start + _IDS]
            ids = ",".join(str(job_id) for _, job_id in some)
            notice = to_server_of(some[0][0], protocol.JOB_STATUSES, None, environ, {"ids": ids})
            if notice is not None:
                asked.append((experiment, notice))
    found: Dict[Tuple[str, int], str] = {}
    for (experiment, _), reply in zip(asked, tell([notice for _, notice in asked], ASK_TIME)):
        told = (reply.answer or {}).get("statuses")
        if isinstance(told, dict):
            found.update({(experiment, int(number)): str(status) for number, status in told.items()
                          if number.isdigit()})
    return found
