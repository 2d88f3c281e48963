"""A job server's link to its Hub (docs/server.md, "With a Hub").

The Hub gives the secret that the experiment's worker tokens are signed with. The server verifies tokens by
itself, registers its URL, says regularly that it is alive, and asks which tokens were revoked. While the
Hub is away the server goes on with what it knows (`knowledge.py`), and can even be started again.

`connect` and `announce` are called once, before the server says that it is ready. From `start` on a thread
makes the calls, since they block.
"""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Mapping, NamedTuple, Optional
from urllib.parse import quote, urlsplit

from jd import fields, threads
from jd import protocol as p
from jd.auth import jwt
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.net.client import Client, UnusableAnswer
from jd.net.outbound import is_own_machine
from jd.net.retry import Backoff
from jd.server.dashboardpin import HubPin
from jd.server.hubside import knowledge
from jd.server.hubside.knowledge import Known
from jd.threads import Reported

log = logging.getLogger("jd.server")

TIMEOUT = 10.0  # seconds for each wait on the Hub
# A proxy on the way may answer 401 or 404 for a moment; a Hub that means it says it again.
UNKNOWN_LIMIT = 3
_FOR_GOOD = (401, 404)


class Intervals(NamedTuple):
    """Seconds. `retry` is the first pause after a failure; `doubt` is the least time between two
    requests for the secret that unverifiable tokens cause."""

    heartbeat: float = 30.0
    revoked: float = 20.0
    retry: float = 5.0
    doubt: float = 60.0


class ExperimentGone(JdError):
    """The Hub says that the experiment is over, or is no longer this server's."""


class RevokedToken(jwt.TokenError):
    """It is genuine, and was revoked at the Hub."""


class HubLink:
    """The link of one experiment. `verify` may be called from any thread, after `connect`.

    `memory` is the file that keeps what the Hub said; `warn` takes a sentence for people.
    """

    def __init__(self, client: Client, name: str, memory: Path, warn: Callable[[str], None],
                 create: bool = False, intervals: Intervals = Intervals(),
                 clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._name = name
        self._memory = memory
        self._warn = warn
        self._create = create
        self._intervals = intervals
        self._clock = clock
        self._route = "/api/experiments/" + quote(name, safe="")
        self._known: Optional[Known] = None
        self._urls = {"server_url": "", "dashboard_url": ""}
        self._registered = False
        self._away = False
        self._unknown = 0  # how often in a row the Hub has said that it knows the key, or the experiment, not
        self._next_heartbeat = self._next_poll = 0.0
        self._backoff = Backoff(intervals.retry, 2 * intervals.heartbeat)
        self._doubted: Optional[float] = None
        self._wake = threading.Event()
        self._stopping = False
        self._thread: Optional[threading.Thread] = None
        self._pin: Optional[HubPin] = None

    @property
    def shown(self) -> str:
        """The Hub's URL, without credentials."""
        return self._client.shown

    @property
    def is_local(self) -> bool:
        """Whether the Hub is on this machine."""
        return is_own_machine(urlsplit(self.shown).hostname or "")

    def owner(self) -> Optional[str]:
        """The email address of the experiment's owner, where the Hub has told it."""
        return None if self._known is None else self._known.owner

    # ---- tokens

    def verify(self, token: str) -> jwt.WorkerClaims:
        """The claims of a worker token that is good now; its role is never None.

        Raises the kind of jwt.TokenError that fits.
        """
        known = self._known
        if known is None:
            raise RuntimeError("verify before connect")
        try:
            claims = jwt.verify_worker(token, known.secret, self._clock(),
                                       exp_name=self._name)
        except jwt.BadSignature:
            self._doubt()
            raise
        if claims.jti in known.revoked:
            raise RevokedToken("the token was revoked", "ask the Hub for a new one")
        if known.refused_at is not None and claims.iat <= known.refused_at:
            raise RevokedToken("the token may have been revoked: the Hub no longer tells this server",
                               "ask the Hub for a new one")
        return replace(claims, role=known.role_of(claims))

    def _doubt(self) -> None:
        """A token does not fit the secret: the Hub may have a new one."""
        now = time.monotonic()
        if self._doubted is None or now - self._doubted >= self._intervals.doubt:
            self._doubted = now
            self._registered = False
            self._wake.set()

    # ---- the start

    def connect(self) -> None:
        """Learn the experiment's secret, from the Hub or, while that is away, from an earlier start.

        Raises JdError where that is not possible; the text says what to do.
        """
        try:
            self._learn(self._fetch_or_create())
            return
        except ServerRefused as error:
            if not _is_outage(error):
                raise self._explained(error) from error
            failure: JdError = error
        except ServerUnreachable as error:
            failure = error
        self._known = knowledge.kept(self._memory, self.shown)
        if self._known is None:
            raise JdError(failure.what, failure.advice, "the first start of an experiment needs its Hub")
        self._away = True
        self._warn("the Hub is away; going on with the secret and the revoked tokens of the last "
                   "start, and trying again (%s)" % failure)

    def announce(self, server_url: str, dashboard_url: str) -> None:
        """Register where the server is. A Hub that is away gets to know it later, from the thread.

        Raises ExperimentGone.
        """
        self._urls = {"server_url": server_url, "dashboard_url": dashboard_url}
        if not self._away:
            self.step(time.monotonic())

    def _fetch_or_create(self) -> Known:
        try:
            return self._fetch()
        except ServerRefused as error:
            if error.status != 404 or not self._create:
                raise
        self._client.call("POST", "/api/experiments", {"name": self._name})
        return self._fetch()

    def _explained(self, error: ServerRefused) -> JdError:
        if error.status == 401:
            return JdError("the Hub %s refuses the key in JD_API_KEY: it is unknown or was revoked"
                           % self.shown,
                           "set it to a key that is valid there (jd_hub key create)")
        if error.status == 404 and not self._create:
            return JdError("the Hub %s has no experiment %s of yours" % (self.shown, self._name),
                           "check --expId and whose key JD_API_KEY is, or add --create to make it")
        return JdError("the Hub does not let this server serve %s: %s" % (self._name, error))

    # ---- calls

    def _fetch(self) -> Known:
        config = self._client.call("GET", self._route + "/runtime-config")
        try:
            return Known(fields.take_name(config, "worker_shared_secret", limit=4096),
                         fields.take_name(config, "experiment_id", None), self._fetch_revoked(),
                         _owner_id(config), fields.take_name(config, "owner", None))
        except (p.ProtocolError, AttributeError):
            # Not the answer itself: it may hold the secret.
            raise UnusableAnswer("%s gave no usable runtime-config" % self.shown,
                                 "check that this is the URL of a Hub") from None

    def _fetch_revoked(self) -> FrozenSet[str]:
        answer = self._client.call("GET", self._route + "/revoked-tokens")
        listed = answer.get("revoked_jtis") if isinstance(answer, dict) else None
        if not isinstance(listed, list) or not all(isinstance(jti, str) for jti in listed):
            raise UnusableAnswer("%s gave no usable list of revoked tokens" % self.shown,
                                 "check that this is the URL of a Hub")
        return frozenset(listed)

    def _register(self) -> None:
        known = self._known
        found = self._fetch()
        if known is not None and known.experiment_id not in (None, found.experiment_id):
            raise ExperimentGone("experiment %s was deleted on the Hub and created anew" % self._name,
                                 "start its job server again")
        self._learn(found)
        self._client.call("POST", self._route + "/register", self._urls)
        self._registered = True

    def _heartbeat(self) -> None:
        body: Dict[str, Any] = {}
        if self._known is not None and self._known.experiment_id is not None:
            body["experiment_id"] = self._known.experiment_id
        if self._pin is not None and self._pin.taken():
            body["dashboard_pin"] = self._pin.taken()
        self._take_pin(self._client.call("POST", self._route + "/heartbeat", body))

    def _take_pin(self, answer: Any) -> None:
        """The Hub may have a new PIN for the dashboard, until it is told that it was taken."""
        if self._pin is None or not isinstance(answer, dict) or answer.get("dashboard_pin") is None:
            return
        try:
            told = fields.take(answer, "dashboard_pin", dict)
            number, encoded = fields.take_id(told, "number"), fields.take(told, "hash", str)
        except p.ProtocolError:
            # Not the answer itself: it holds a hash of six digits.
            log.warning("the Hub %s sent a PIN for the dashboard in a form that is not known", self.shown)
            return
        self._pin.take(number, encoded)

    # ---- the loop

    def step(self, now: float) -> float:
        """Do what is due at `now` (monotonic); returns the seconds until something is due again.

        Raises ExperimentGone. Every other failure is told once and tried again.
        """
        try:
            if not self._registered:
                self._register()
                self._next_heartbeat = now + self._intervals.heartbeat
                self._next_poll = now + self._intervals.revoked
            if now >= self._next_heartbeat:
                self._heartbeat()
                self._next_heartbeat = now + self._intervals.heartbeat
            if now >= self._next_poll and self._known is not None:
                self._learn(self._known._replace(revoked=self._fetch_revoked()))
                self._next_poll = now + self._intervals.revoked
        except (ServerRefused, ServerUnreachable) as error:
            return self._failed(error)
        if self._away:
            self._warn("the Hub answers again")
        self._away, self._unknown = False, 0
        self._backoff.reset()
        return max(0.0, min(self._next_heartbeat, self._next_poll) - now)

    def _failed(self, error: JdError) -> float:
        status = getattr(error, "status", None)
        self._unknown = self._unknown + 1 if status in _FOR_GOOD else 0
        if status == 401 and self._unknown >= UNKNOWN_LIMIT:
            raise ExperimentGone(*_OF_THE_KEY) from error
        if status == 403 or self._unknown >= UNKNOWN_LIMIT:
            raise ExperimentGone("the Hub has ended this experiment: %s" % error) from error
        if status == 401:
            self._mistrust()
        elif not self._away:
            self._warn("the Hub does not answer as it should; workers that have a token go on, "
                       "trying again (%s)" % error)
        self._away = True
        # What the Hub knows may be older when it comes back: from a backup, or another's by now.
        self._registered = False
        return max(self._backoff.next(), getattr(error, "retry_after", None) or 0.0)

    def _mistrust(self) -> None:
        """The Hub refuses this server's key, and no longer tells which tokens were revoked: those that were
        given for that very key, for instance. What it issued before is taken no more; that of later is."""
        if self._known is not None and self._known.refused_at is None:
            self._learn(self._known._replace(refused_at=self._clock()))
            self._warn("%s; tokens that were issued before are no longer taken; trying again"
                       % _OF_THE_KEY[0])

    def start(self, gone: Callable[[str], None], pin: Optional[HubPin] = None) -> None:
        """Make the calls from now on. `gone` is called, from another thread and at most once, with
        the reason when the experiment is over. `pin` takes the PINs of the Hub."""
        self._pin = pin
        # A daemon: a call that hangs must not hold up the end of the process.
        self._thread = threads.start(self._run, "hub", (gone,))

    def stop(self) -> None:
        """End the thread, or leave it behind if a call hangs."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(0.5)

    def _run(self, gone: Callable[[str], None]) -> None:
        failing = Reported("the link to the Hub %s failed" % self.shown, log.error)
        while not self._stopping:
            self._wake.clear()
            pause = 0.0
            with failing:
                try:
                    pause = self.step(time.monotonic())
                except ExperimentGone as error:
                    if not self._stopping:
                        gone(str(error))
                    return
            if failing.trouble is not None:
                # Without this thread no token would ever be revoked, and nobody would notice.
                pause = self._intervals.heartbeat
            self._wake.wait(pause)

    def _learn(self, known: Known) -> None:
        if known == self._known:
            return
        self._known = known
        try:
            knowledge.keep(self._memory, self.shown, known)
        except OSError as error:
            self._warn("%s cannot be written (%s): without the Hub this server could not be started "
                       "again" % (self._memory, error.strerror))


_OF_THE_KEY = ("the Hub refuses this server's key, which is unknown there or was revoked",
               "start the server again with a valid JD_API_KEY; jobs and results are kept")


def _owner_id(config: Mapping[str, Any]) -> Optional[str]:
    """Whose experiment it is: other Hubs number their users. Raises ProtocolError."""
    given = config.get("owner_id")
    return str(given) if isinstance(given, int) else fields.take(config, "owner_id", str, None)


def _is_outage(error: ServerRefused) -> bool:
    """Whether a refusal comes of the Hub's state and not of what was asked."""
    return error.status in (408, 429) or error.status >= 500
