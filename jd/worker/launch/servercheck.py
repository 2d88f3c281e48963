"""Checks the server before a launch: that it is a job server, and that of this experiment.

Where nobody names a server, anybody's may be at the default address, and one that was started a moment before
its workers has not written its access file yet. So that file is waited for.
"""

import sys
import time
from typing import Callable, Optional

from jd import terminal
from jd.auth import tokentosend
from jd.errors import JdError, ServerUnreachable
from jd.net.client import Client, OtherExperiment
from jd.net.finding import probe
from jd.net.finding.published import Stale
from jd.net.peer.portowner import VARIABLE, ForeignServer, trusting
from jd.worker.config import WorkerConfig
from jd.worker.uplink.tokenrenewal import authorised

LOOK_TIME = 3.0  # seconds for each wait on the network: the launch waits for it
PATIENCE = 15.0  # seconds that a server takes at most from its start to its access file
ANSWER_PATIENCE = 10.0  # seconds that a server takes at most from its start to its first answer
REPLACED_IN = 3.0  # seconds in which it has removed the file of a predecessor that was killed
LOOK_EVERY = 0.2  # seconds
SAY_AFTER = 1.0  # seconds: a usual start is faster

_NOT_OURS = (OtherExperiment, ForeignServer, probe.WrongPort)


def checked(config: WorkerConfig, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic,
            sleep: Callable[[float], None] = time.sleep) -> WorkerConfig:
    """The launch as `authorised` gives it, its server looked at.

    Where the server is found by the experiment's access file alone, another one at its address, or the
    file of one that was killed, may stand for a server that is just starting: for `patience` seconds
    the file is read again. Raises what `authorised` and `check` do.
    """
    if not config.found:
        config = authorised(config)
        check(config)
        return config
    waiting = _Waiting("%s, which the server of %s writes when it is ready" % (
        config.server_file, config.experiment), patience, clock, sleep)
    seen: Optional[WorkerConfig] = None
    while True:
        longest = patience
        try:
            found = authorised(config)
            if seen is None or found.place != seen.place:
                seen = found
                check(found)
                return found
        except _NOT_OURS as error:
            problem = _unmet(seen or config, error)
        except Stale as error:
            problem, longest = error, min(patience, REPLACED_IN)
        if config.server_file is None or not waiting.goes_on(longest):
            raise problem


def wait_for_answer(config: WorkerConfig, patience: float = ANSWER_PATIENCE,
                    clock: Callable[[], float] = time.monotonic,
                    sleep: Callable[[float], None] = time.sleep) -> WorkerConfig:
    """Wait until the server of a launch that was `checked` answers, as one does that is just starting.

    Gives the launch with that server: where nobody names one, its access file may come meanwhile, and need
    not name the default address. A launch in the background ends well when its workers have something to
    work for. Raises ServerUnreachable after `patience` seconds, and what `authorised` and `check` do.
    """
    waiting = _Waiting("an answer of %s" % config.server, patience, clock, sleep)
    while True:
        try:
            if config.found and config.place is None:
                config = authorised(config)
                if config.place is not None:
                    check(config)
            with trusting(config.environ.get(VARIABLE)):
                probe.ask(_client(config))
            return config
        except OtherExperiment:
            raise
        except ServerUnreachable as error:
            problem = error
        if not waiting.goes_on(patience):
            advice = problem.advice
            if config.unnamed:
                advice = ("%s: for a server on another machine give server=@FILE, a copy of its access file"
                          % config.unnamed)
            raise ServerUnreachable(problem.what, advice,
                                    "no worker was started; with foreground=true they wait for a server")


class _Waiting:
    """A server is looked at again for `patience` seconds, and people are told once what is waited for."""

    def __init__(self, what: str, patience: float, clock: Callable[[], float],
                 sleep: Callable[[float], None]) -> None:
        self._what, self._patience, self._clock, self._sleep = what, patience, clock, sleep
        self._began, self._said = clock(), False

    def goes_on(self, longest: float) -> bool:
        """Sleep until the next look; False at once when `longest` seconds are over since the first one.

        Nobody is told of a wait that is to be shorter than `patience`.
        """
        waited = self._clock() - self._began
        if waited >= longest:
            return False
        if not self._said and longest == self._patience and waited >= SAY_AFTER:
            self._said = True
            print("waiting up to %s for %s" % (terminal.duration(self._patience), self._what),
                  file=sys.stderr, flush=True)
        self._sleep(LOOK_EVERY)
        return True


def check(config: WorkerConfig) -> None:
    """Returns where the server of an authorised launch can be right, or is away: workers wait for it.

    Raises OtherExperiment for the server of another one, ForeignServer for one of another user of this
    machine, WrongPort for what is no job server, and StorageError or UsageError for a token or URL that
    cannot be used.
    """
    with trusting(config.environ.get(VARIABLE)):
        probe.check(_client(config), config.experiment)


def _client(config: WorkerConfig) -> Client:
    grant = config.grant
    token = tokentosend.bearer(config.reached, config.environ) if grant is None else grant.token
    return Client(config.server, lambda: token, LOOK_TIME, config.experiment, config.reached.certificate)


def _unmet(config: WorkerConfig, error: JdError) -> JdError:
    """What is to be said of a server that nobody has named, and that is not ours. What `error` advises
    is for who has named one."""
    if config.place is not None:
        return JdError(error.what, config.place.hint)
    return JdError("%s: is its server running (jd_server --expId %s)? %s" % (
        config.unnamed, config.experiment, error.what))
