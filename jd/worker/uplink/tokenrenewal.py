"""The worker token of one worker in Hub mode, renewed before it expires.

A thread asks the Hub, so that neither the loop nor a running job waits for it. What is due is decided in
`step`, which has no clock of its own. All workers of a sweep may have begun at the same moment, so each
renews at a random moment between the start of the margin and the end of the token.
"""

import random
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Optional

from jd import terminal, threads
from jd.auth import tokentosend
from jd.auth.hubtoken import Access, Grant, HubRefused, advised, grant_for, request
from jd.errors import JdError, ServerRefused, ServerUnreachable, UsageError
from jd.net.finding import published
from jd.net.peer.portowner import VARIABLE, trusting
from jd.threads import Reported
from jd.worker.config import WorkerConfig

if TYPE_CHECKING:
    from jd.net.retry import Uniform

ATTEMPTS = 5  # in a row, before it is said that the Hub is away
PAUSES = (1.0, 20.0)  # seconds between them
LONG_PAUSES = (30.0, 60.0)  # seconds, from then on
SAY_EVERY = 60.0  # seconds, once the token has expired
LOOK_AGAIN = (60.0, 900.0)  # seconds until the Hub is asked where a server that is away is now
_LONGEST_WAIT = 3600.0  # no lock can be waited for as long as a token may claim to live
_SHARE = 0.8  # of the margin: the rest is for a Hub that does not answer at once

Ask = Callable[[], Grant]


def authorised(config: WorkerConfig) -> WorkerConfig:
    """The launch with the job server of the moment, and with a token where a Hub gives one.

    The Hub is asked once for all workers of a launch. A file that names the server (`server=@path`)
    is waited for; an access file that is not there means the server that the launch has, by default
    one on this machine. Raises what `hubtoken.request`, `published.wait_for` and `published.found` do.
    """
    if config.place is not None:
        return config
    if config.server_file is not None:
        with trusting(config.environ.get(VARIABLE)):
            place = (published.found(config.experiment, config.environ) if config.found
                     else published.wait_for(config.server_file,
                                             lambda line: print(line, file=sys.stderr, flush=True)))
            if place is None:
                return config
            return replace(config, server=place.url, place=place,
                           environ=tokentosend.with_token_file(config.environ, place))
    hub = config.hub_access
    if hub is None:
        return config
    with trusting(config.environ.get(VARIABLE)):
        grant = grant_for(advised(hub, config.experiment, config.environ), config.experiment)
    return replace(config, server=grant.server, grant=grant)


class Renewal:
    """Keeps a token fresh. `current` and `renew` may be called by any thread.

    `fresh` is told of each new grant and `refused` of a refusal that is final, both in the thread
    of the renewal.
    """

    def __init__(self, grant: Grant, ask: Ask, log: Callable[[str], None],
                 fresh: Callable[[Grant], None], refused: Callable[[], None],
                 uniform: "Uniform" = random.uniform) -> None:
        self._grant = grant
        self._ask = ask
        self._log = log
        self._fresh = fresh
        self._on_refusal = refused
        self._uniform = uniform
        self._reported = Reported("the worker token was not renewed", log)
        self._lock = threading.Lock()  # held while the Hub is asked
        self._wake = threading.Condition()
        self._ended = False
        self._nudged = False
        self._failures = 0
        self._said_at: Optional[float] = None
        self._look_at: Optional[float] = None
        self._due = self._moment(grant)
        self.refusal: Optional[HubRefused] = None

    @property
    def current(self) -> Grant:
        """The newest grant."""
        return self._grant

    # ---- the thread

    def start(self) -> None:
        """Begin. Not before a fork: a process with threads must not fork."""
        threads.start(self._work, "jd-token")

    def end(self) -> None:
        """Ask no more."""
        with self._wake:
            self._ended = True
            self._wake.notify()

    def _work(self) -> None:
        while True:
            pause: Optional[float] = LONG_PAUSES[0]  # after what nobody foresaw
            with self._reported:
                pause = self.step(time.monotonic())
            if pause is not None:
                pause = min(pause, _LONGEST_WAIT)
            with self._wake:
                self._wake.wait_for(lambda: self._ended or self._nudged, pause)
                self._nudged = False
                if self._ended:
                    return

    # ---- one step

    def step(self, now: float) -> Optional[float]:
        """Renew if it is due; seconds until the next step, None for never."""
        if self.refusal is not None:
            return None
        due = self._due if self._look_at is None else min(self._due, self._look_at)
        if now >= due:
            with self._lock:
                self._look_at = None
                self._try(now, now < self._due)
        if self.refusal is not None:
            return None
        due = self._due if self._look_at is None else min(self._due, self._look_at)
        return max(0.0, due - now)

    def _try(self, now: float, early: bool) -> None:
        try:
            grant = self._ask()
        except HubRefused as error:
            self._refuse(error)
        except (ServerRefused, ServerUnreachable, UsageError) as error:
            if not early:  # else the token is good, and the server's absence is said elsewhere
                self._failed(error, now)
        else:
            self._take(grant)

    def _take(self, grant: Grant) -> None:
        if self._said_at is not None:
            self._log("the Hub has renewed the worker token")
        if grant.server != self._grant.server:
            self._log("the job server is now at %s" % grant.server)
        if grant.checkpoint_key is None:  # of a Hub that was set back to an older version
            grant = grant.but(checkpoint_key=self._grant.checkpoint_key)
        self._failures, self._said_at = 0, None
        self._grant = grant
        self._due = self._moment(grant)
        self._fresh(grant)

    def _refuse(self, error: HubRefused) -> None:
        self.refusal = error
        self._log("the Hub does not renew the worker token: %s" % error)
        self._on_refusal()

    def _failed(self, error: JdError, now: float) -> None:
        self._failures += 1
        pauses = PAUSES if self._failures < ATTEMPTS else LONG_PAUSES
        asked = getattr(error, "retry_after", None) or 0.0
        self._due = now + max(self._uniform(*pauses), asked)
        left = self._grant.expires - now
        if left > 0:
            self._due = min(self._due, max(self._grant.expires, now + asked))
            if self._failures == ATTEMPTS:
                self._said_at = now
                self._log("the worker token was not renewed, %d attempts failed: %s; the old one is "
                          "good for %s" % (ATTEMPTS, error, terminal.duration(left)))
        elif self._said_at is None or now - self._said_at >= SAY_EVERY or (
                self._said_at < self._grant.expires):
            self._said_at = now
            self._log("the worker token has expired, and the Hub gives no new one: %s; trying on"
                      % error)

    def _moment(self, grant: Grant) -> float:
        return grant.expires - grant.margin + self._uniform(0.0, _SHARE * grant.margin)

    # ---- what the calls to the job server found

    def renew(self, rejected: str) -> str:
        """The job server did not accept the token `rejected`: another one.

        Waits for the Hub. Raises HubRefused where it is final, and ServerUnreachable for now.
        """
        with self._lock:
            if self.refusal is not None:
                raise self.refusal
            if self._grant.token == rejected:
                try:
                    self._take(self._ask())
                except HubRefused as error:
                    self._refuse(error)
                    raise
                except (ServerRefused, UsageError) as error:
                    raise ServerUnreachable("the job server does not accept the worker token, and "
                                            "there is no other yet: %s" % error) from error
            return self._grant.token

    def server_is_away(self, now: float) -> None:
        """It may have moved: have the Hub asked, at a random moment of the next minutes."""
        with self._wake:
            if self._look_at is None and self.refusal is None:
                self._look_at = now + self._uniform(*LOOK_AGAIN)
                self._nudged = True
                self._wake.notify()


def asker(hub: Access, experiment: str) -> Ask:
    """How a worker asks its Hub."""
    return lambda: request(hub, experiment)
