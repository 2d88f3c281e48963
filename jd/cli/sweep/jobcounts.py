"""Asking a job server how many jobs have which status, and why those that wait are not handed out."""

from __future__ import annotations

from jd import protocol
from jd.errors import ServerRefused, ServerUnreachable
from jd.net.client import Client, UnusableAnswer
from jd.net.finding import probe
from jd.shape import NamedTuple
from jd.terminal import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def job_counts(client: Client) -> dict[str, int]:
    """Jobs by status, in the order of a job's life.

    Raises ServerUnreachable or WrongPort where what answered is no job server, and what `Client.call`
    raises.
    """
    try:
        answer = client.call("GET", protocol.JOB_COUNTS)
    except ServerRefused as error:
        raise probe.explained(client, error) from error
    if not isinstance(answer, dict) or not all(
            isinstance(n, int) and not isinstance(n, bool) for n in answer.values()):
        raise ServerUnreachable("%s%s answered %s instead of job counts: it is no job server"
                                % (client.shown, protocol.JOB_COUNTS, protocol.shown(answer)),
                                "check the URL")
    known = [status for status in protocol.JOB_STATUSES_ALL if status in answer]
    return {status: answer[status] for status in known + sorted(set(answer) - set(known))}


class CodeMix(NamedTuple):
    """The versions of the code that the jobs of a sweep mix, with the number of jobs of each, at most one
    above `most_counted`; and what they differ in."""

    versions: tuple[tuple[str, int], ...]
    differ_in: tuple[str, ...]
    most_counted: int

    def told(self) -> str:
        """In one line, for people."""
        listed = ", ".join("%s (%s)" % (code, "more than %d jobs" % self.most_counted
                                        if jobs > self.most_counted else plural(jobs, "job"))
                           for code, jobs in self.versions)
        return "jobs ran %d versions: %s; they differ in %s" % (
            len(self.versions), listed, " and ".join(self.differ_in))


class Pace(NamedTuple):
    """How a sweep goes on: jobs that end in an hour, seconds until all have ended, until the next failed job
    is tried again, and workers by what they do; jobs that will not run again by themselves, ABORTED ones that
    will, attempts that failed in the last hour, and workers that are gone. None and nothing is what the
    server does not tell."""

    per_hour: float | None = None
    eta: float | None = None
    next_retry: float | None = None
    workers: tuple[tuple[str, int], ...] = ()
    finished: int | None = None
    coming_back: int | None = None
    failed_in_hour: int | None = None
    workers_left: int | None = None

    @property
    def without_workers(self) -> bool:
        """Whether no worker takes jobs, as far as the server tells."""
        return bool(self.workers) and not any(n for name, n in self.workers if name != "paused")

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"per_hour": self.per_hour, "eta": self.eta, "next_retry": self.next_retry,
                "workers": dict(self.workers), "finished": self.finished, "coming_back": self.coming_back,
                "failed_in_hour": self.failed_in_hour, "workers_left": self.workers_left}


class EndRule(NamedTuple):
    """What ends a sweep by itself (docs/server.md): a filter as target, jobs that are done, hours of
    computing. What is not set, or has ended the sweep already, is "" and 0."""

    stop_when: str = ""
    max_jobs: int = 0
    max_hours: float = 0.0

    def told(self) -> str:
        """For people: "when accuracy>0.95, or after 500 jobs"; "" where there is no rule."""
        parts = ["when %s" % self.stop_when] if self.stop_when else []
        if self.max_jobs:
            parts.append("after %s" % plural(self.max_jobs, "job"))
        if self.max_hours:
            parts.append("after %.4g hours of computing" % self.max_hours)
        return ", or ".join(parts)


class Standstill(NamedTuple):
    """Why jobs that wait are not handed out: the sweep is paused, by a person or for the reason that the
    server tells, or no living worker has what so many jobs need. And `codes`, where jobs mix versions of the
    code, the `pace` of those that are handed out, and the rule by which the sweep `ends`."""

    paused: bool = False
    paused_because: str = ""
    cannot_run: tuple[tuple[tuple[str, ...], int], ...] = ()
    codes: CodeMix | None = None
    pace: Pace = Pace()
    ends: EndRule = EndRule()

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"paused": self.paused, "paused_because": self.paused_because or None,
                "cannot_run": [{"needs": list(needs), "jobs": jobs} for needs, jobs in self.cannot_run],
                "codes": None if self.codes is None else {
                    "versions": [{"code": code, "jobs": jobs} for code, jobs in self.codes.versions],
                    "differ_in": list(self.codes.differ_in)}, **self.ends._asdict(), **self.pace.to_json()}


def standstill(client: Client) -> Standstill:
    """What a server says of it: nothing, where it does not know the question. Raises ServerUnreachable for
    one that is away."""
    try:
        answer = client.call("GET", protocol.SWEEP)
    except (ServerRefused, UnusableAnswer):
        return Standstill()
    if not isinstance(answer, dict):
        return Standstill()
    because = answer.get("paused_because")
    found: list[tuple[tuple[str, ...], int]] = []
    entries = answer.get("cannot_run")
    for entry in entries if isinstance(entries, list) else []:
        needs, jobs = (entry.get("needs"), entry.get("jobs")) if isinstance(entry, dict) else (None, None)
        if isinstance(needs, list) and isinstance(jobs, int):
            found.append((tuple(map(str, needs)), jobs))
    return Standstill(bool(answer.get("paused")) or bool(because), str(because or ""), tuple(found),
                      _mix(answer.get("codes")), _pace(answer), _ends(answer))


def _ends(told: dict[str, Any]) -> EndRule:
    spent, target = told.get("has_ended_by"), told.get("stop_when")
    jobs, hours = told.get("max_jobs"), told.get("max_hours")
    found = EndRule(target if isinstance(target, str) else "", jobs if isinstance(jobs, int) else 0,
                    float(hours) if isinstance(hours, (int, float)) else 0.0)
    over = [name for name in EndRule._fields if isinstance(spent, list) and name in spent]
    return found._replace(**{name: getattr(EndRule(), name) for name in over})


def _pace(told: dict[str, Any]) -> Pace:
    def number(name: str) -> float | None:
        value = told.get(name)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def whole(name: str) -> int | None:
        value = told.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    workers, retry, now = told.get("workers"), number("next_retry"), number("now")
    return Pace(number("per_hour"), number("eta"),
                None if retry is None or now is None else max(0.0, retry - now),
                tuple((str(name), n) for name, n in workers.items() if isinstance(n, int))
                if isinstance(workers, dict) else (),
                whole("finished"), whole("coming_back"), whole("failed_in_hour"), whole("workers_left"))


def _mix(told: object) -> CodeMix | None:
    if not isinstance(told, dict):
        return None
    try:
        return CodeMix(tuple((str(one["code"]), int(one["jobs"])) for one in told["versions"]),
                       tuple(map(str, told["differ_in"])), int(told["most_counted"]))
    except (KeyError, TypeError, ValueError):
        return None  # a server of another kind
