"""Delivers results: the worker's last one, and those that others left on disk, on whichever node.

A result that the server refuses for good is dropped with a line in the log. A 404 counts as that only the
second time, after the server has answered something else in between, because gateways say 404 as well
while the server behind them is away. For the worker's own last result the call in between is a heartbeat
that still holds the job: an idle one would get the same job handed out again.

The worker's own last result outlives the worker from the start. It is made to outlive the machine as well
where the server does not take it within SYNC_AFTER: what a server has answered is on its own disk, and the
next job need not wait for this one.
"""

from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Optional

from jd import terminal
from jd.errors import ServerRefused
from jd.messages import Assignment, Result, Retry
from jd.protocol import ABORTED, VERDICT_PREEMPTED
from jd.threads import Reported
from jd.worker.uplink.callthread import CLAIM, LEAVE, Call
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outbox import Entry, Outbox

FINAL_REFUSALS = (400, 404, 409)
MAX_FAILURES = 5  # of calls with a result of another worker, which is then left to others
FILES_TIMEOUT = 480.0  # seconds, for a result with files
SYNC_AFTER = 0.1  # seconds; servers answer sooner


def _no_beat() -> Optional[Call]:
    return None


class Delivery:
    """`own` is the result of the last job, `backlog` what can wait; both are in the outbox."""

    def __init__(self, outbox: Outbox, link: Link, log: Callable[[str], None]) -> None:
        self.own: Optional[Entry] = None
        self.alone = False
        self.sync_at: Optional[float] = None  # when our own result is to be synced
        self.backlog: List[Entry] = []
        self._outbox = outbox
        self._link = link
        self._log = log
        self._doubted: Dict[str, bool] = {}
        self._failures: Dict[str, int] = {}
        self._reported = Reported("results of workers that have ended were not moved to where they outlast "
                                  "this one", log)

    def hold(self, result: Result, alone: bool = False, waiting_files: Optional[Path] = None) -> None:
        """Keep a result until it is delivered; `alone`: not together with the next claim.

        The files of `waiting_files` go before it.
        """
        self.own = self._outbox.put(result, self._link.server, self._link.server_id,
                                    self._link.worker_id, waiting_files)
        self.alone = alone or waiting_files is not None
        if self._link.away:
            self.own = self._lasting(self.own)

    def sync_in_time(self, now: float) -> None:
        """Have our own result survive a crash of the machine, if the server has let it wait."""
        if self.own is None or self.own.is_synced or self.own.path is None:
            self.sync_at = None
        elif self.sync_at is None:
            self.sync_at = now + SYNC_AFTER
        elif now >= self.sync_at:
            self.own, self.sync_at = self._outbox.sync(self.own), None

    @property
    def others_hold(self) -> bool:
        """Whether something was on disk that others deliver. If they crash it is to be delivered soon, before
        its job is given to somebody else."""
        return self._outbox.others_hold

    def look_on_disk(self) -> None:
        """Read the outbox: at the start, after an outage, and from time to time."""
        known = {entry.name for entry in self.backlog}
        own = "" if self.own is None else self.own.name
        on_disk = self._outbox.waiting(self._link.server, self._link.server_id)
        self.backlog = [entry for entry in on_disk
                        if entry.name != own and self._failures.get(entry.name, 0) < MAX_FAILURES]
        new = [entry for entry in self.backlog if entry.name not in known and entry.path is not None]
        for directory in sorted({entry.path.parent for entry in new if entry.path is not None}):
            self._log("delivering results that waited in %s: %d" % (
                directory, sum(entry.path is not None and entry.path.parent == directory for entry in new)))

    def own_call(self, away: bool) -> Optional[Call]:
        """The call that delivers our last result while the worker goes on, if there is one.

        `away`: nothing has been heard of the server since the last failure.
        """
        if self.own is None:
            return None
        self._outbox.keep_hold(self.own)
        if away and self._doubted.get(self.own.name):
            return self._still_ours(self.own)
        together = not self.alone and self._link.can_claim_with(self.own)
        return self._link.claim(self.own) if together else self._report_own(self.own)

    def backlog_call(self, beat: Callable[[], Optional[Call]] = _no_beat) -> Optional[Call]:
        """The call that delivers one result from the backlog; `beat` makes a heartbeat of a job that runs."""
        while self.backlog:
            claimed = self._outbox.claim(self.backlog[0])
            if claimed is not None:
                self.backlog[0] = claimed
                return self._report(claimed, beat)
            del self.backlog[0]  # another worker has it
            if not self.backlog and self._outbox.has_more:
                self.look_on_disk()
        return None

    def did_not_arrive(self, entry: Optional[Entry]) -> None:
        """The server is away, and was to get this result, or none. What waits must outlast this worker."""
        if self.own is not None:
            self.own = self._lasting(self.own)
        if entry is not None and not self._is_own(entry):
            # What a server cannot digest must not keep this worker from its own work, nor from leaving.
            self._failures[entry.name] = self._failures.get(entry.name, 0) + 1
            released = [self._outbox.release(other) if other.name == entry.name else other
                        for other in self.backlog]
            self.backlog = [other for other in released if self._failures.get(other.name, 0) < MAX_FAILURES]

    def outage_began(self) -> None:
        """What workers that have died left near goes to where it outlasts this one. Beside the loop, since
        there may be large files with it."""
        self._reported.start(self._outbox.secure_rest, "jd-outbox", (self.own,))

    def leaving_call(self, away: bool, timeout: float) -> Optional[Call]:
        """The call that delivers our last result and, if the server knows how, takes our leave."""
        if self.own is None:
            return None
        self._outbox.keep_hold(self.own)
        if away and self._doubted.get(self.own.name):
            return self._still_ours(self.own)
        if not self.alone and self._link.can_leave_with(self.own):
            return self._link.leave(self.own, timeout)
        return replace(self._report_own(self.own), timeout=timeout)

    def accepted(self, entry: Entry, retry: Optional[Retry] = None) -> None:
        """The server took it; `retry` is what it does about a failure, where it tells."""
        self._forget(entry)
        result = entry.result
        if retry is not None and result.status == ABORTED and result.verdict != VERDICT_PREEMPTED:
            self._log("job %d is %s" % (result.job_id, _tried_again(retry)))

    def refused(self, call: Call, error: ServerRefused) -> bool:
        """The server refused the call that carried a result. Whether that is all about it: False
        if the refusal is rather that of a server that is away."""
        entry = call.entry
        if entry is None or error.status not in FINAL_REFUSALS:
            return False
        if call.kind in (CLAIM, LEAVE):
            # Result or heartbeat: which one was wrong shows when each goes by itself.
            self.alone = True
            return True
        if error.status == 404 and not self._doubted.get(entry.name):
            self._doubted[entry.name] = True
            return False
        self._log("the server will not take the result of job %d: %s; dropped"
                  % (entry.result.job_id, error))
        self._forget(entry)
        return True

    def leave(self) -> Optional[str]:
        """Leave our undelivered result to others. Where it stays, for the last words of the log."""
        if self.own is None:
            return None
        self.own = own = self._outbox.release(self._lasting(self.own))
        job_id = own.result.job_id
        if own.path is None:
            return "the result of job %d is lost: neither the server nor the disk took it" % job_id
        told = ("the result of job %d waits in %s; any worker of this experiment that has this directory "
                "delivers it, on whichever node" if self._outbox.is_lasting(own) else
                "the result of job %d waits in %s; while that is there, a worker of its experiment with "
                "the same JD_CACHE_PATH delivers it") % (job_id, own.path)
        ends = self._outbox.ends_with(own)
        return told if ends is None else "%s; it is on %s: without it the job runs again" % (told, ends)

    def left_by_others(self) -> List[str]:
        """What waits beside our own result, for the last words of a worker whose server is away."""
        return ["results that wait in %s for their server: %d; any worker of this experiment that has this "
                "directory delivers them" % (place, count) for place, count in self._outbox.left().items()]

    def _lasting(self, entry: Entry) -> Entry:
        """Our own result as it survives whatever ends here."""
        return self._outbox.sync(self._outbox.secure(entry))

    def _report_own(self, entry: Entry) -> Call:
        """Until it has arrived, the job is still this worker's."""
        return self._report(entry, lambda: self._still_ours(entry))

    def _report(self, entry: Entry, beat: Callable[[], Optional[Call]]) -> Call:
        if entry.waiting_files is None:
            return self._link.report(entry, self._link.patience)
        call = self._link.report(entry, FILES_TIMEOUT)
        # A server that does not tell the lease has one that outlives this.
        return call if self._link.lease is None else replace(call, meanwhile=beat())

    def _still_ours(self, entry: Entry) -> Call:
        result = entry.result
        return self._link.beat(Assignment(result.job_id, {}, result.attempt), result.output_tail,
                               ends_in=0.0, size=result.output_size)

    def _forget(self, entry: Entry) -> None:
        self._doubted.pop(entry.name, None)
        self._failures.pop(entry.name, None)
        if self._is_own(entry):
            entry = self.own or entry  # it may have been moved since the call began
            self.own, self.alone = None, False
        self._outbox.remove(entry)
        self.backlog = [other for other in self.backlog if other.name != entry.name]
        if not self.backlog and self._outbox.has_more:
            self.look_on_disk()

    def _is_own(self, entry: Entry) -> bool:
        return self.own is not None and self.own.name == entry.name


def _tried_again(retry: Retry) -> str:
    if retry.pause is None:
        return "not tried again"
    when = "at once" if retry.pause < 1.0 else "in " + terminal.duration(retry.pause)
    return "tried again %s, by another worker if there is one" % when
