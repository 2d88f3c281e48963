"""The calls of a worker to its server: one at a time, what their answers mean, and when the next is due.

Most of what can go wrong with a call ends here: an outage, a held heartbeat that a proxy cut, a name that
another worker has. What concerns the job or the worker itself is handed on as an answer that was `Heard`.
It has no clock: times are seconds on one monotonic clock.
"""

from dataclasses import dataclass
from typing import Callable, List, Optional

from jd import protocol
from jd.errors import JdError, ServerRefused
from jd.messages import HeartbeatReply, Retry
from jd.protocol import ProtocolError
from jd.worker.uplink.callthread import BEAT, CLAIM, REPORT, Answer, Call, CallThread
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outage import Outage
from jd.worker.uplink.outbox import Entry

OVERDUE = 60.0  # beyond a call's timeout, which bounds each wait on the network but not their sum
DENIED_PAUSE = 60.0  # between heartbeats of a running job that the server does not authorise
MAX_RENAMES = 5
SWIFT = 1.0  # a held heartbeat that comes back empty sooner was not held
FULLY_HELD = 0.9  # of the time asked for: then the hold was the pause between two heartbeats
LOOK_ON_DISK_EVERY = 300.0  # for results that others have left since
LOOK_AGAIN_AFTER = 30.0  # where there are some that others deliver, who may have crashed
FIRST_BEAT = 3.0  # after a job's start, where beats are held: a shorter job costs none


@dataclass(frozen=True)
class Heard:
    """An answer that the worker has to act on: a reply to a heartbeat, or a refusal that is not about this
    one call. `denied`: it is not authorised; `lost`: its job is somebody else's."""

    call: Call
    reply: Optional[HeartbeatReply] = None
    denied: Optional[ServerRefused] = None
    lost: Optional[ServerRefused] = None


class Calls:
    """`rename` finds another worker id and returns it.

    `heard_at` is when a heartbeat was answered last; None before the first answer. A call is due at
    `not_before` at the soonest; a claim at `claim_at`, the heartbeat of a running job at `beat_at`.
    """

    def __init__(self, link: Link, thread: CallThread, delivery: Delivery, outage: Outage,
                 rename: Callable[[], str], log: Callable[[str], None]) -> None:
        self.heard_at: Optional[float] = None
        self.desired_state = protocol.RUN  # what the server asks for
        self.paused_because = ""  # why it has paused this worker by itself
        self._pause_told = ""
        self.not_before = 0.0
        self.beat_at = 0.0
        self.claim_at = 0.0
        self.overdue_at = 0.0
        self._link = link
        self._thread = thread
        self._delivery = delivery
        self._outage = outage
        self._rename = rename
        self._log = log
        self._renames = 0
        self._swift_replies = 0
        self._look_at = 0.0  # into the outbox, which may be on the file system of thousands

    @property
    def in_flight(self) -> Optional[Call]:
        """The call that is under way."""
        return self._thread.in_flight

    @property
    def away_since(self) -> Optional[float]:
        """When the server stopped answering; None while it answers."""
        return self._outage.since

    @property
    def met(self) -> bool:
        """Whether the server has answered a heartbeat yet."""
        return self.heard_at is not None

    def send(self, call: Call, now: float) -> None:
        """Make a call; there must be none in flight."""
        self.overdue_at = now + call.timeout + self._link.at_most(OVERDUE)
        self._thread.send(call)

    def abandon(self) -> None:
        """Give up the call in flight."""
        self._thread.abandon()

    def job_ended(self, now: float, pause: float) -> None:
        """There is no job any more; the next claim is due after `pause` seconds. A heartbeat that the
        server holds stands in the way of the result."""
        call = self.in_flight
        if call is not None and call.kind == BEAT and call.held:
            self.abandon()
        self.claim_at = now + pause

    def hurry(self, now: float) -> None:
        """There is little time left: what has to be said is tried at once, and then soon again."""
        self._outage.hurry()
        self.not_before = min(self.not_before, now)

    def server_is_there(self, now: float) -> None:
        """A refusal has shown it."""
        self._back(now)

    def pause_denied(self, error: ServerRefused, now: float) -> None:
        """The running job is not authorised: that may change."""
        self._outage.failed(now, str(error))
        self.not_before = now + self._link.at_most(DENIED_PAUSE)

    # ---- answers

    def collect(self, now: float) -> List[Heard]:
        """Take what has been answered; what the worker has to act on."""
        found = [heard for heard in (self._take(answer, now) for answer in self._thread.collect())
                 if heard is not None]
        call = self.in_flight
        if call is not None and now >= self.overdue_at:
            self.abandon()
            self._away("a call to %s did not end" % self._link.server, now, call.entry)
        return found

    def _take(self, answer: Answer, now: float) -> Optional[Heard]:
        error = answer.error
        reply: Optional[HeartbeatReply] = None
        if error is None and answer.call.kind != REPORT:
            try:
                reply = self._link.absorb(answer)
            except JdError as malformed:
                error = malformed
        if error is not None:
            return self._take_error(answer, error, now)
        recovered = self._back(now)
        if answer.call.entry is not None:
            self._delivery.accepted(answer.call, _retry_told(answer, reply))
        if reply is None:
            return None
        if recovered or not self.met or now >= self._look_at:
            self._delivery.look_on_disk()
            self._look_at = now + (LOOK_AGAIN_AFTER if self._delivery.others_hold else LOOK_ON_DISK_EVERY)
        self.heard_at = now
        self._obey(reply)
        if answer.call.kind == CLAIM:
            self._after_claim(answer, reply, now)
        elif answer.call.kind == BEAT:
            self._after_beat(answer, reply, now)
        return Heard(answer.call, reply)

    def _obey(self, reply: HeartbeatReply) -> None:
        if reply.desired_version > self._link.applied_version:
            self._link.applied_version = reply.desired_version
            if reply.desired_state != self.desired_state:
                self._log("the server asks to %s" % reply.desired_state)
            self.desired_state = reply.desired_state
        because, itself = reply.paused_because or "", self.desired_state == protocol.PAUSE
        if because and because != self._pause_told:
            self._log("the server has paused %s: %s" % (
                "this worker" if itself else "the experiment", because))
        self._pause_told, self.paused_because = because, because if itself else ""

    def _after_beat(self, answer: Answer, reply: HeartbeatReply, now: float) -> None:
        held = answer.call.held
        if self._link.log_wanted and "log_tail" not in answer.call.body:
            self.beat_at = now  # somebody has begun to look at it
        elif self._link.owes_acknowledgement or held and answer.took >= held * FULLY_HELD:
            self.beat_at = now
        elif held:
            self.beat_at = max(now, now - answer.took + reply.interval)
        elif answer.call.entries or answer.call.unstarted:
            self.beat_at = now + self._first_beat(reply)  # for this it was not held
        else:
            self.beat_at = now + reply.interval

    def _after_claim(self, answer: Answer, reply: HeartbeatReply, now: float) -> None:
        # What becomes of a job that has failed is told at once.
        swift = answer.call.held > 0 and answer.took < SWIFT and reply.finished_retry is None
        self.claim_at = now
        self._renames = 0
        if reply.job is not None:
            self._swift_replies = 0
            self.beat_at = now if self._link.owes_acknowledgement else now + self._first_beat(reply)
        elif self._link.owes_acknowledgement:
            return
        elif self._link.log_wanted:
            self.claim_at = now + (protocol.WATCHED_INTERVAL if "log_tail" in answer.call.body else 0.0)
        elif not self._link.offers(protocol.EXT_WAIT):
            self.claim_at = now + reply.interval
        else:
            self._swift_replies = min(self._swift_replies + 1, 16) if swift else 0
            if swift:
                self.claim_at = now + min(reply.interval, 0.5 * 2.0 ** self._swift_replies)

    def _first_beat(self, reply: HeartbeatReply) -> float:
        """How long after an answer the next heartbeat of the job comes, the first that may be held."""
        return min(reply.interval, FIRST_BEAT if self._link.offers(protocol.EXT_WATCH)
                   else protocol.BUSY_INTERVAL)

    # ---- errors

    def _take_error(self, answer: Answer, error: JdError, now: float) -> Optional[Heard]:
        call = answer.call
        if isinstance(error, ServerRefused):
            if error.status in (401, 403):
                return Heard(call, denied=error)
            if self._delivery.refused(call, error):
                self._back(now)
                return None
            if error.status == 409 and call.kind == BEAT:
                return Heard(call, lost=error)
            if error.status == 409 and call.kind == CLAIM and self._renames < MAX_RENAMES:
                self._take_new_name(error)
                return None
        if not self._link.held_call_broke(answer):
            self._away(str(error), now, call.entry)
        return None

    def _back(self, now: float) -> bool:
        self._link.away = False
        return self._outage.over(now)

    def _away(self, reason: str, now: float, entry: Optional[Entry] = None) -> None:
        if not self._link.away or now >= self._look_at:
            self._look_at = now + LOOK_ON_DISK_EVERY
            self._delivery.outage_began()
        self._link.outage_began()
        self._delivery.did_not_arrive(entry)
        self.not_before = now + self._link.at_most(self._outage.failed(now, reason))

    def _take_new_name(self, error: ServerRefused) -> None:
        self._renames += 1
        before, self._link.worker_id = self._link.worker_id, self._rename()
        self._log("%s is taken (%s); this worker is now %s" % (before, error, self._link.worker_id))


def _retry_told(answer: Answer, reply: Optional[HeartbeatReply]) -> Optional[Retry]:
    """What the server does about the failure that the call has reported; None where it does not tell."""
    if reply is not None:
        return reply.finished_retry
    try:
        return Retry.told(answer.body, "retry_in") if isinstance(answer.body, dict) else None
    except ProtocolError:
        return None  # the result was taken all the same
