"""Delivers results: the worker's own, and those that others left on disk, on whichever node.

Its own are that of its last job and, where several short ones came with one claim, of those before it. They
go together with one heartbeat; after a refusal each goes by itself. A result that the server refuses for good
is dropped with a line in the log. A 404 counts as that only the second time, after the server has answered
something else in between, because gateways say 404 as well while the server behind them is away. For the
worker's own results the call in between is a heartbeat that still holds the job: an idle one would get the
same job handed out again.

The worker's own results outlive the worker from the start. They are made to outlive the machine as well
where the server does not take them within SYNC_AFTER: what a server has answered is on its own disk, and the
next job need not wait for the one before.
"""

from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set

from jd import terminal
from jd.errors import ServerRefused
from jd.messages import Assignment, Result, Retry
from jd.protocol import ABORTED, EXT_PREFETCH, VERDICT_PREEMPTED
from jd.threads import Reported
from jd.worker.uplink.callthread import REPORT, Call
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outbox import Entry, Outbox

FINAL_REFUSALS = (400, 404, 409)
HEARTBEAT_REFUSALS = (*FINAL_REFUSALS, 413)  # by itself a result is smaller
# Characters of output and messages in results that wait for others: with one more, and if each character is
# sent as six, that is still half a megabyte, which proxies let through.
MAX_TOGETHER = 64 * 1024
MAX_FAILURES = 5  # of calls with a result of another worker, which is then left to others
FILES_TIMEOUT = 480.0  # seconds, for a result with files
SYNC_AFTER = 0.1  # seconds; servers answer sooner


def _no_beat() -> Optional[Call]:
    return None


class Delivery:
    """`own` are the results of the last jobs, in the order in which they ended, `backlog` what can wait; both
    are in the outbox. `alone` are the names of those of our own that do not go with a heartbeat."""

    def __init__(self, outbox: Outbox, link: Link, log: Callable[[str], None]) -> None:
        self.own: List[Entry] = []
        self.alone: Set[str] = set()
        self.sync_at: Optional[float] = None  # when our own results are to be synced
        self.backlog: List[Entry] = []
        self._outbox = outbox
        self._link = link
        self._log = log
        self._doubted: Dict[str, bool] = {}
        self._failures: Dict[str, int] = {}
        self._reported = Reported("results of workers that have ended were not moved to where they outlast "
                                  "this one", log)

    def hold(self, result: Result, alone: bool = False, waiting_files: Optional[Path] = None,
             ended: Optional[float] = None) -> None:
        """Keep a result until it is delivered; `alone`: not together with the next claim. `ended` is when its
        script did.

        The files of `waiting_files` go before it.
        """
        entry = replace(self._outbox.put(result, self._link.server, self._link.server_id,
                                         self._link.worker_id, waiting_files), ended=ended)
        self.own.append(self._lasting(entry) if self._link.away else entry)
        if alone or waiting_files is not None:
            self.alone.add(entry.name)

    @property
    def has_room(self) -> bool:
        """Whether another result may be kept with our own, to go with the same heartbeat."""
        told = sum(len(entry.result.output_tail) + len(entry.result.message) for entry in self.own)
        return not self.alone and told <= MAX_TOGETHER

    @property
    def has_news(self) -> bool:
        """Whether there is something that any heartbeat may bring."""
        return bool(self._link.unstarted or self.joining())

    def joining(self) -> List[Entry]:
        """Our own results that may go with a heartbeat that asks for nothing."""
        if not self._link.offers(EXT_PREFETCH):
            return []
        return [entry for entry in self.own
                if entry.name not in self.alone and self._link.can_claim_with(entry)]

    def sync_in_time(self, now: float, unasked: bool = False) -> None:
        """Have our own results survive a crash of the machine, if the server has let them wait; `unasked`: it
        was not asked yet."""
        if unasked or all(entry.is_synced or entry.path is None for entry in self.own):
            self.sync_at = None
        elif self.sync_at is None:
            self.sync_at = now + SYNC_AFTER
        elif now >= self.sync_at:
            self.own, self.sync_at = [self._outbox.sync(entry) for entry in self.own], None

    @property
    def others_hold(self) -> bool:
        """Whether something was on disk that others deliver. If they crash it is to be delivered soon, before
        its job is given to somebody else."""
        return self._outbox.others_hold

    def look_on_disk(self) -> None:
        """Read the outbox: at the start, after an outage, and from time to time."""
        known = {entry.name for entry in self.backlog}
        own = {entry.name for entry in self.own}
        on_disk = self._outbox.waiting(self._link.server, self._link.server_id)
        self.backlog = [entry for entry in on_disk
                        if entry.name not in own and self._failures.get(entry.name, 0) < MAX_FAILURES]
        new = [entry for entry in self.backlog if entry.name not in known and entry.path is not None]
        for directory in sorted({entry.path.parent for entry in new if entry.path is not None}):
            self._log("delivering results that waited in %s: %d" % (
                directory, sum(entry.path is not None and entry.path.parent == directory for entry in new)))

    def own_call(self, away: bool, now: float, prefetch: int = 0) -> Optional[Call]:
        """The call that delivers our own results while the worker goes on, if there are any, and claims the
        next job with `prefetch` more where all of them go together.

        `away`: nothing has been heard of the server since the last failure.
        """
        if not self.own:
            return None
        self._outbox.keep_hold(self.own)
        if away and self._doubted.get(self.own[0].name):
            return self._still_ours(self.own[0])
        if self._go_together(self._link.can_claim_with):
            return self._link.claim(self.own, now, prefetch=prefetch)
        return self.aside_call(now) or self._report_own(self.own[0], now)

    def aside_call(self, now: float) -> Optional[Call]:
        """A heartbeat that asks for nothing, with what is not to wait for calls that may take long."""
        return self._link.tell(self.joining(), now) if self.has_news else None

    def refused_call(self, away: bool, now: float) -> Optional[Call]:
        """The call that delivers one of our own results that was refused with a heartbeat, while the next job
        runs. Heartbeats of that tell when the server is back."""
        refused = [entry for entry in self.own if entry.name in self.alone]
        return self._report_own(refused[0], now) if refused and not away else None

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
        self.own = [self._lasting(own) for own in self.own]
        if entry is not None and not self._is_own(entry):
            # What a server cannot digest must not keep this worker from its own work, nor from leaving.
            self._failures[entry.name] = self._failures.get(entry.name, 0) + 1
            released = [self._outbox.release(other) if other.name == entry.name else other
                        for other in self.backlog]
            self.backlog = [other for other in released if self._failures.get(other.name, 0) < MAX_FAILURES]

    def outage_began(self) -> None:
        """What workers that have died left near goes to where it outlasts this one. Beside the loop, since
        there may be large files with it."""
        self._reported.start(self._outbox.secure_rest, "jd-outbox", (tuple(self.own),))

    def leaving_call(self, away: bool, timeout: float, now: float) -> Optional[Call]:
        """The call that delivers our own results and, if the server knows how, takes our leave."""
        if not self.own:
            return None
        self._outbox.keep_hold(self.own)
        if away and self._doubted.get(self.own[0].name):
            return self._still_ours(self.own[0])
        if self._go_together(self._link.can_leave_with):
            return self._link.leave(timeout, self.own, now)
        return replace(self.aside_call(now) or self._report_own(self.own[0], now), timeout=timeout)

    def accepted(self, call: Call, retry: Optional[Retry] = None) -> None:
        """The server took the results of a call; `retry` is what it does about a failure, where it tells."""
        if self._link.offers(EXT_PREFETCH):
            for earlier in call.before:
                self._forget(earlier)
        else:  # an older one has taken over, and does not know that there were more
            self.alone.update(earlier.name for earlier in call.before)
        if call.entry is None:
            return
        self._forget(call.entry)
        result = call.entry.result
        if retry is not None and result.status == ABORTED and result.verdict != VERDICT_PREEMPTED:
            self._log("job %d is %s" % (result.job_id, _tried_again(retry)))

    def refused(self, call: Call, error: ServerRefused) -> bool:
        """The server refused a call that carried results, or jobs that were not begun. Whether that is all
        about these: False if the refusal is rather that of a server that is away."""
        entry = call.entry
        if call.kind != REPORT:
            if error.status not in HEARTBEAT_REFUSALS or not (entry or call.unstarted):
                return False
            # Result or heartbeat: which one was wrong shows when each goes by itself.
            self.alone.update(own.name for own in call.entries)
            if entry is None:
                self._link.knows(call)  # and has its own view of these jobs
                self._log("the server will not take back jobs that were not begun: %s" % error)
            return True
        if entry is None or error.status not in FINAL_REFUSALS:
            return False
        if error.status == 404 and not self._doubted.get(entry.name):
            self._doubted[entry.name] = True
            return False
        self._log("the server will not take the result of job %d: %s; dropped"
                  % (entry.result.job_id, error))
        self._forget(entry)
        return True

    def leave(self) -> List[str]:
        """Leave our undelivered results to others. Where each stays, for the last words of the log."""
        self.own = [self._outbox.release(self._lasting(entry)) for entry in self.own]
        self._outbox.leave()
        return [self._where(entry) for entry in self.own]

    def _where(self, own: Entry) -> str:
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
        """What waits beside our own results, for the last words of a worker whose server is away."""
        return ["results that wait in %s for their server: %d; any worker of this experiment that has this "
                "directory delivers them" % (place, count) for place, count in self._outbox.left().items()]

    def _lasting(self, entry: Entry) -> Entry:
        """One of our own results as it survives whatever ends here."""
        return self._outbox.sync(self._outbox.secure(entry))

    def _go_together(self, can: Callable[[Entry], bool]) -> bool:
        """Whether one heartbeat, which `can` carry these, brings all of our own results."""
        several = len(self.own) == 1 or self._link.offers(EXT_PREFETCH)
        return several and not self.alone and all(map(can, self.own))

    def _report_own(self, entry: Entry, now: float) -> Call:
        """Until it has arrived, the job is still this worker's."""
        return self._report(entry, lambda: self._still_ours(entry), now)

    def _report(self, entry: Entry, beat: Callable[[], Optional[Call]], now: Optional[float] = None) -> Call:
        if entry.waiting_files is None:
            return self._link.report(entry, self._link.patience, now)
        call = self._link.report(entry, FILES_TIMEOUT, now)
        # A server that does not tell the lease has one that outlives this.
        return call if self._link.lease is None else replace(call, meanwhile=beat())

    def _still_ours(self, entry: Entry) -> Call:
        result = entry.result
        return self._link.beat(Assignment(result.job_id, {}, result.attempt), result.output_tail,
                               ends_in=0.0, size=result.output_size)

    def _forget(self, entry: Entry) -> None:
        self._doubted.pop(entry.name, None)
        self._failures.pop(entry.name, None)
        # It may have been moved since the call began.
        entry = next((own for own in self.own if own.name == entry.name), entry)
        self.own = [own for own in self.own if own.name != entry.name]
        self.alone.discard(entry.name)
        self._outbox.remove(entry)
        self.backlog = [other for other in self.backlog if other.name != entry.name]
        if not self.backlog and self._outbox.has_more:
            self.look_on_disk()

    def _is_own(self, entry: Entry) -> bool:
        return any(own.name == entry.name for own in self.own)


def _tried_again(retry: Retry) -> str:
    if retry.pause is None:
        return "not tried again"
    when = "at once" if retry.pause < 1.0 else "in " + terminal.duration(retry.pause)
    return "tried again %s, by another worker if there is one" % when
