"""Asking a job server for what a job has printed, part by part."""

from typing import Any, Dict, Iterator, NamedTuple, Optional

from jd import protocol
from jd.errors import ServerRefused, UsageError
from jd.net.client import Client, UnusableAnswer
from jd.outputtext import joint

PART = 256 * 1024  # bytes


class Part(NamedTuple):
    """Output of an attempt, as `GET /api/jobs/<id>/output` answers (docs/protocol.md)."""

    status: str
    attempt: Optional[int]
    running: bool
    size: int
    offset: int
    output: str
    next: int
    left_out: int
    tail_only: bool

    def after(self, before: str) -> str:
        """It, to be shown after `before`: below a line that says what is missing between them."""
        return joint(before, self.left_out) + self.output


class JobOutput:
    """The output of one attempt of a job; of the latest where `attempt` is None.

    All that ask raise UsageError where there is no such job or attempt, ServerRefused, also for a server that
    does not know the question, and ServerUnreachable.
    """

    def __init__(self, client: Client, job_id: int, attempt: Optional[int]) -> None:
        self._client = client
        self._job_id = job_id
        self._attempt = attempt

    def part(self, offset: int = 0, last: Optional[int] = None) -> Part:
        """What there is from `offset` on, or the `last` bytes."""
        route = "%s/%d/output" % (protocol.LIST_JOBS, self._job_id)
        try:
            answer = self._client.call("GET", route, query={
                "attempt": self._attempt, "offset": offset if last is None else None, "last": last,
                "limit": PART})
        except ServerRefused as error:
            raise self._explained(error) from error
        part = _read(answer)
        if part is None:
            raise UnusableAnswer("%s%s answered %s instead of output" % (
                self._client.shown, route, protocol.shown(answer)))
        self._attempt = part.attempt  # the same one from now on
        return part

    def parts(self, first: Part) -> Iterator[Part]:
        """`first`, and what is there after it."""
        part = first
        while True:
            yield part
            if part.next >= part.size or part.next <= part.offset:
                return
            part = self.part(part.next)

    def last_lines(self, count: int) -> Part:
        """The part that begins with the last `count` lines, or where these are more than there is, with all
        that is there. A gap counts as the beginning."""
        limit = 16 * 1024
        end: Optional[Part] = None
        while True:
            part = self.part(last=limit)
            while part.output and part.next < part.size:
                part = self.part(part.next)  # after a gap, or what has come meanwhile
            if end is not None and not part.output:  # a worker is still to send what is in the gap
                return end._replace(left_out=max(0, end.offset - part.next))
            end = part
            lines = part.output.split("\n")
            whole = len(lines) - 1 if part.output.endswith("\n") else len(lines)
            if whole > count:
                dropped = "\n".join(lines[:whole - count]) + "\n"
                size = len(dropped.encode("utf-8"))
                return part._replace(output=part.output[len(dropped):], offset=part.offset + size, left_out=0)
            if part.offset == 0 or part.left_out or limit >= 4 * PART:
                return part
            limit *= 4

    def _explained(self, error: ServerRefused) -> Exception:
        """A 404 may mean the job, the attempt or the question itself."""
        if error.status != 404:
            return error
        statuses = self._client.call("GET", protocol.JOB_STATUSES, query={"ids": self._job_id})
        known = statuses.get("statuses") if isinstance(statuses, dict) else None
        if not isinstance(known, dict) or str(self._job_id) not in known:
            return UsageError("there is no job %d at %s" % (self._job_id, self._client.shown))
        if "attempt" in str(error):
            return UsageError("job %d has had no attempt %s" % (self._job_id, self._attempt),
                              "leave attempt= out for the latest one")
        return ServerRefused(
            404, "the job server at %s is too old to keep what jobs print" % self._client.shown,
            "its dashboard shows the last lines; the rest is in the worker's log: worker-logs")


def _read(answer: Any) -> Optional[Part]:
    kinds: Dict[str, Any] = {"status": str, "running": bool, "size": int, "offset": int, "output": str,
                             "next": int, "left_out": int, "tail_only": bool}
    if not isinstance(answer, dict) or not isinstance(answer.get("attempt"), (int, type(None))):
        return None
    if not all(isinstance(answer.get(name), kind) for name, kind in kinds.items()):
        return None
    return Part(attempt=answer.get("attempt"), **{name: answer[name] for name in kinds})
