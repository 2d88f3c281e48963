"""An agent on the bench: no clock, no network, no process; the test plays all three."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, cast

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.messages import Assignment, Code
from jd.net.retry import Backoff
from jd.worker.agent.agent import Agent
from jd.worker.agent.calls import Calls
from jd.worker.agent.currentjob import CurrentJob
from jd.worker.agent.leaving import Leaving
from jd.worker.attempt.attempt import Attempt
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.limits import Limits
from jd.worker.uplink.callthread import Answer, Call, CallThread
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outage import Outage
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.verdict import Ended

ALL = list(protocol.EXTENSIONS)
SERVER = "http://server:5000"


def longest(low: float, high: float) -> float:
    """Chance that always draws the longest pause."""
    return high


class FakeCallThread:
    def __init__(self) -> None:
        self.in_flight: Optional[Call] = None
        self.sent: List[Call] = []
        self.abandoned: List[Call] = []
        self._answers: List[Answer] = []

    def send(self, call: Call) -> None:
        assert self.in_flight is None, "one call at a time"
        json.dumps(call.body)
        self.in_flight = call
        self.sent.append(call)

    def collect(self) -> List[Answer]:
        answers, self._answers = self._answers, []
        if answers:
            self.in_flight = None
        return answers

    def abandon(self) -> None:
        assert self.in_flight is not None
        self.abandoned.append(self.in_flight)
        self.in_flight = None

    def answer(self, body: Any, error: Optional[JdError], took: float) -> None:
        assert self.in_flight is not None, "nothing was asked"
        self._answers.append(Answer(self.in_flight, body, error, took))


class FakeJob:
    def __init__(self, assignment: Assignment, now: float) -> None:
        self.assignment = assignment
        self.began = now
        self.script_began: Optional[float] = now
        self.stop_reason: Optional[str] = None
        self.ended: Optional[Ended] = None
        self.start_failure: Optional[StartFailure] = None
        self.has_ended_unseen = False
        self.ran: Optional[Code] = None
        self.stopped_with: List[float] = []  # the grace of each call to stop

    output_size = 8

    def tail(self) -> str:
        return "the tail"

    def code(self, wait: float = 0.0) -> Optional[Code]:
        return self.ran

    def watched(self) -> None:
        self.was_watched = True

    def step(self, now: float) -> Optional[Ended]:
        if self.start_failure is not None:
            raise self.start_failure
        return self.ended

    def stop(self, now: float, grace: float, reason: str) -> None:
        self.stopped_with.append(grace)
        if self.stop_reason is None and not self.has_ended_unseen:
            self.stop_reason = reason

    def deadline(self) -> Optional[float]:
        return None


class Bench:
    def __init__(self, tmp_path: Path, once: bool = False, limits: Limits = Limits()) -> None:
        self.now = 1000.0
        self.limits = limits
        self.logged: List[str] = []
        self.calls = FakeCallThread()
        self.jobs: List[FakeJob] = []
        self.start_failure: Optional[StartFailure] = None
        self.outbox_dir = tmp_path / "outbox"
        self.names = iter("node_bird_%d" % n for n in range(1, 100))
        log = self.logged.append
        self.link = Link(SERVER, "node_bird_0", "cpu", lambda: {"cpu_util": 1.0}, limits)
        outbox = Outbox(in_directory(self.outbox_dir), log)
        delivery = Delivery(outbox, self.link, log)
        calls = Calls(self.link, cast(CallThread, self.calls), delivery,
                      Outage(Backoff(1.0, 60.0, longest), log), lambda: next(self.names), log)
        current = CurrentJob(self._start, delivery, limits, 20.0, Backoff(1.0, 60.0, longest), log)
        self.agent = Agent(self.link, calls, current, delivery, Leaving(limits, once, log), log,
                           hold_claims=not once)
        self.deadline = self.agent.step(self.now)

    def _start(self, assignment: Assignment, now: float) -> Attempt:
        if self.start_failure is not None:
            raise self.start_failure
        self.jobs.append(FakeJob(assignment, now))
        return cast(Attempt, self.jobs[-1])

    # ---- time and the world

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.deadline = self.agent.step(self.now)

    def step_to_deadline(self) -> float:
        """Let the time pass until the agent has something to do; returns how long that was."""
        assert self.deadline is not None, "the agent would sleep forever"
        passed = max(0.0, self.deadline - self.now)
        self.step(passed)
        return passed

    def reply(self, extensions: Optional[List[str]] = None, job: Optional[Dict[str, Any]] = None,
              took: Optional[float] = None, **fields: Any) -> None:
        """The server answers the heartbeat in flight; a held one after some seconds."""
        if took is None:
            took = 5.0 if self.call.held else 0.01
        body: Dict[str, Any] = {"heartbeat_interval": 57.0 if self.busy else 180.0, **fields}
        if extensions is not None:
            body.update(extensions=extensions)
            body.setdefault("server_id", "data-1")
        self.answer(dict(body, job=job), took)

    def answer(self, body: Any, took: float = 0.01) -> None:
        self.calls.answer(body, None, took)
        self.step(took)

    def refuse(self, status: int, says: str = "", took: float = 0.01) -> None:
        self.calls.answer(None, ServerRefused(status, says or "refused with %d" % status), took)
        self.step(took)

    def unreachable(self, took: float = 0.01) -> None:
        self.fail(ServerUnreachable("connection refused"), took)

    def fail(self, error: ServerUnreachable, took: float = 0.01) -> None:
        self.calls.answer(None, error, took)
        self.step(took)

    def end_job(self, exit_code: int = 0, tail: str = "") -> None:
        self.jobs[-1].ended = Ended(exit_code, 1.5, tail)
        self.step()

    # ---- what the agent does

    @property
    def busy(self) -> bool:
        call = self.calls.in_flight
        return call is not None and call.body.get("reported_status") == "busy"

    @property
    def call(self) -> Call:
        """The call in flight."""
        assert self.calls.in_flight is not None, "nothing is in flight"
        return self.calls.in_flight

    def waiting(self) -> List[Path]:
        """Files in the outbox."""
        return sorted(self.outbox_dir.glob("[!.]*.json"))

    def said(self, words: str) -> bool:
        return any(words in line for line in self.logged)

    def times_said(self, words: str) -> int:
        return sum(words in line for line in self.logged)


def job(job_id: int = 5, attempt: Optional[int] = 1, **parameters: Any) -> Dict[str, Any]:
    """A job as a server hands it out."""
    handed: Dict[str, Any] = {"job_id": job_id, "parameters": parameters, "status": "SERVED"}
    if attempt is not None:
        handed["attempt"] = attempt
    return handed
