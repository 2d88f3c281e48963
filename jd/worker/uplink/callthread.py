"""Makes the blocking HTTP calls of a worker in a thread, one at a time, so that its loop need not wait.

A call may be held by the server for minutes. Giving up on one costs little: its thread is left alone and ends
with it, and its answer is ignored.
"""

import json
import queue
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from jd import protocol, threads
from jd.errors import JdError, ServerUnreachable, reason
from jd.messages import BASE_HEARTBEAT, only
from jd.net.client import KEPT_SECONDS
from jd.threads import NoThread
from jd.worker.uplink.outbox import Entry

CLAIM = "claim"
BEAT = "beat"
REPORT = "report"
TELL = "tell"
LEAVE = "leave"
REST_AFTER = KEPT_SECONDS  # seconds


@dataclass(frozen=True)
class Call:
    """One request to the server. `timeout` and `held` are in seconds.

    `held` is how long the server was asked to wait with its answer; `entry` is the result that
    the request carries, `before` are those that it carries of jobs that ended earlier. Files that wait with
    `entry` go first, and `meanwhile`, a heartbeat, is repeated.
    `reserved` heartbeats are for a server that has offered no extension: their body has the base alone, and
    what else there is goes in a header, which is no matter to those that do not know it.
    """

    kind: str
    route: str
    body: Dict[str, Any]
    timeout: float
    held: float = 0.0
    entry: Optional[Entry] = None
    before: Tuple[Entry, ...] = ()
    meanwhile: "Optional[Call]" = None
    reserved: bool = False

    @property
    def entries(self) -> Tuple[Entry, ...]:
        """All results that it carries, in the order in which their jobs ended."""
        return self.before if self.entry is None else (*self.before, self.entry)

    @property
    def unstarted(self) -> Sequence[Dict[str, Any]]:
        """The jobs that it gives back, as they were not begun."""
        found: Sequence[Dict[str, Any]] = self.body.get("unstarted", ())
        return found

    def noting(self, remark: str) -> "Call":
        """The same, with a remark in the message of the result that it reports."""
        if not remark:
            return self
        message = "; ".join(text for text in (self.body.get("message", ""), remark) if text)
        return replace(self, body=dict(self.body, message=message[:protocol.MAX_MESSAGE_CHARS]))

    def parts(self) -> Tuple[Dict[str, Any], Dict[str, str]]:
        """Body and headers as they are sent."""
        if not self.reserved:
            return self.body, {}
        base = only(BASE_HEARTBEAT, self.body)
        beyond = {name: value for name, value in self.body.items() if name not in base}
        return base, {protocol.HEARTBEAT_HEADER: json.dumps(beyond)}


@dataclass(frozen=True)
class Answer:
    """What came of a call: a JSON body or an error, after `took` seconds."""

    call: Call
    body: object = None
    error: Optional[JdError] = None
    took: float = 0.0


def _nothing() -> None:
    pass


class CallThread:
    """Takes a call with `send`, wakes the loop when `collect` has its answer. `rest` is called, in the thread
    of the calls, when there has been none for REST_AFTER."""

    def __init__(self, deliver: Callable[[Call], object], wake: Callable[[], None],
                 rest: Callable[[], None] = _nothing) -> None:
        self._deliver = deliver
        self._wake = wake
        self._rest = rest
        self._calls: "Optional[queue.SimpleQueue[Optional[Call]]]" = None
        self._answers: "queue.SimpleQueue[Answer]" = queue.SimpleQueue()
        self.in_flight: Optional[Call] = None

    def send(self, call: Call) -> None:
        """Start a call; there must be none in flight.

        Where there is no thread for it, that is its answer: the call is made again later.
        """
        assert self.in_flight is None
        self.in_flight = call
        if self._calls is None:
            calls: "queue.SimpleQueue[Optional[Call]]" = queue.SimpleQueue()
            try:
                threads.start(self._work, "jd-calls", (calls, self._answers))
            except NoThread as error:
                unasked = ServerUnreachable("the server was not asked: %s" % error)
                self._answers.put(Answer(call, error=unasked))
                self._wake()
                return
            self._calls = calls
        self._calls.put(call)

    def collect(self) -> List[Answer]:
        """Answers that have come in; at most one, as there is one call at a time."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return []
        self.in_flight = None
        return [answer]

    def abandon(self) -> None:
        """Forget the call in flight; its thread is left behind, the next call gets a new one."""
        if self._calls is not None:
            self._calls.put(None)
        self.in_flight = None
        self._calls = None
        self._answers = queue.SimpleQueue()

    def _work(self, calls: "queue.SimpleQueue[Optional[Call]]",
              answers: "queue.SimpleQueue[Answer]") -> None:
        while True:
            try:
                call = calls.get(timeout=REST_AFTER)
            except queue.Empty:
                self._rest()
                call = calls.get()
            if call is None:
                return
            started = time.monotonic()
            body: object = None
            error: Optional[JdError] = None
            try:
                body = self._deliver(call)
            except JdError as known:
                error = known
            except Exception as unknown:  # whatever an answer from the wild did to us: no crash
                error = ServerUnreachable("the answer of the server cannot be used (%s)" % reason(unknown))
            answers.put(Answer(call, body, error, time.monotonic() - started))
            self._wake()
