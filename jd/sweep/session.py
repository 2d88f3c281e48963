"""The session that `jd.init()` begins: whose jobs, on which server, and how calls are made to it.

The server is found as workers find it (jd/auth/jobserver.py), and again whenever it does not answer or
refuses the token: it may have been started anew, elsewhere. Calls that change nothing, or the same when made
twice, are tried again for a while.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, TypeVar, Union

from jd import protocol, settings, terminal
from jd.auth import hubtoken, jobserver
from jd.auth.jobserver import Source, Target
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.net.client import Client
from jd.net.finding import probe
from jd.net.retry import RETRIED_STATUSES, Backoff
from jd.script.context import in_worker, script_token, workspace_root
from jd.sweep import envfile
from jd.sweep.envfile import PathLike
from jd.sweep.errors import (
    BadType,
    BadValue,
    NoSession,
    NotOffered,
    Unreachable,
    nothing_sent,
    of_their_kinds,
)

T = TypeVar("T")

TIMEOUT = 120.0  # seconds for each wait on the network
PATIENCE = 60.0  # seconds that a call is tried again
MEETING = 15.0  # seconds that a server takes at most from its start to its first answer
_PAUSES = (0.25, 5.0)
_PASSING = RETRIED_STATUSES - {404}
_NO_ROUTE = (404, 405, 501)
_IN_JOB = "the running job"


class NoServer(Unreachable, ValueError):
    """Nobody names a server of the experiment, and none answers where one is by default."""


def _nothing() -> None:
    pass


class Session:
    """An experiment and its server, as arguments and variables name them.

    `exp_id` is the experiment, `data_root` the directory `jd_data`. Threads may share it. Every call raises
    errors of jd/sweep/errors.py.
    """

    def __init__(self, exp_id: str, arguments: Mapping[str, str], environ: Mapping[str, str]) -> None:
        """Nobody is asked yet. Raises UsageError, StorageError."""
        self.exp_id = exp_id
        self.arguments = arguments
        self.environ = environ
        self._in_job = (in_worker(environ) and not arguments.get("server") and not arguments.get("hub")
                        and bool(environ.get("JD_SERVER", "").strip()))
        self.hub = hubtoken.access(arguments, environ, exp_id)
        self.data_root = Path(os.path.realpath(str(workspace_root(environ))))
        self._lock = threading.Lock()
        self._target: Optional[Target] = None
        self._client: Optional[Client] = None
        self._extensions: Optional[FrozenSet[str]] = None
        self._over: Optional[Unreachable] = None
        self.is_lost: Callable[[], None] = _nothing  # called when the server does not answer; it may `end` it

    def __repr__(self) -> str:
        return "<jd session: experiment %s>" % self.exp_id

    @property
    def workspace_parent(self) -> Path:
        """The directory that has `jd_data`."""
        return self.data_root.parent

    @property
    def experiment(self) -> str:
        """`exp_id`, as the search for the server calls it."""
        return self.exp_id

    @property
    def hub_url(self) -> Optional[str]:
        """The Hub's URL; None without one."""
        return None if self.hub is None else self.hub.client().shown

    @property
    def server_url(self) -> str:
        """Where the server is now, without user and password."""
        with of_their_kinds():
            return self._reached().shown

    def end(self, what: str, advice: str) -> None:
        """Have every further call fail at once, since its server was stopped here: nobody needs to try."""
        self._over = Unreachable(what, advice)

    def source(self) -> Source:
        """How the server is found, before anybody is asked. Raises UsageError, StorageError."""
        named = jobserver.named(self.arguments, self.environ)
        if self._in_job and named is not None and named.path is None:
            # The worker's file counts before its variable: the server may have moved since the job began.
            path = self.environ.get("JD_SERVER_FILE", "").strip()
            return Source(_IN_JOB, named.url, Path(path) if path else None, stored=True)
        return named or jobserver.unnamed(self)

    # ---- calls

    def call(self, method: str, route: str, body: Union[Mapping[str, Any], bytes, None] = None,
             query: Optional[Mapping[str, object]] = None, again: bool = True,
             patience: float = PATIENCE) -> Dict[str, Any]:
        """The JSON object that the server answers; as `tried`."""
        answer = self.tried(lambda client: client.call(method, route, body, query), again, patience)
        if not isinstance(answer, dict):
            raise Unreachable("%s%s answered %s: it is no job server" % (
                self.server_url, route, protocol.shown(answer)))
        return answer

    def tried(self, call: Callable[[Client], T], again: bool = True, patience: float = PATIENCE,
              waits: Optional[Callable[[JdError], None]] = None) -> T:
        """What a call gives, made again for `patience` seconds where the server is away or busy; where it
        refuses the token, once with a new one.

        Without `again`, for what must not happen twice, only where nothing has been sent. `waits` is told of
        the first failure.
        """
        until, pauses = time.monotonic() + patience, Backoff(*_PAUSES)
        fresh = renewed = told = False
        with of_their_kinds():
            while True:
                if self._over is not None:
                    raise self._over
                try:
                    return call(self._reached(fresh))
                except ServerRefused as error:
                    if error.status == 401 and not renewed and not isinstance(error, hubtoken.HubRefused):
                        fresh = renewed = True
                        continue
                    if not again or error.status not in _PASSING:
                        raise
                    failure: JdError = error
                except ServerUnreachable as error:
                    if not again and not nothing_sent(error):
                        raise
                    failure = error
                    self.is_lost()
                    if self._over is not None:
                        raise self._over from error
                pause = max(pauses.next(), getattr(failure, "retry_after", None) or 0.0)
                if time.monotonic() + pause > until:
                    raise failure
                if waits is not None and not told:
                    told = True
                    waits(failure)
                time.sleep(pause)
                fresh = True

    def offers(self, extension: str, patience: float = PATIENCE) -> bool:
        """Whether the server has an extension of docs/protocol.md; one that knows only the base has none. As
        `tried`, where nobody has asked yet."""
        if self._extensions is None:
            try:
                told = self.tried(lambda client: client.anonymous().call("GET", protocol.HEALTH),
                                  patience=patience)
            except ServerRefused as error:
                if error.status not in _NO_ROUTE:
                    raise
                told = None
            listed = told.get("extensions") if isinstance(told, dict) else None
            self._extensions = frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()
        return extension in self._extensions

    def want(self, extension: str, what: str) -> None:
        """Returns if the server has an extension. Raises NotOffered: this server does not do `what`."""
        if not self.offers(extension):
            raise NotOffered("this server does not %s: %s is an older jd_server, or another product's"
                             % (what, self.server_url), "jd_server of this version does")

    # ---- how

    def _reached(self, fresh: bool = False) -> Client:
        """A client of the server as it is known; `fresh`: as it is found now."""
        with self._lock:
            # Of a Hub's token only hubtoken knows when it is to be renewed.
            if fresh or self._client is None or self.hub is not None:
                before = self._target
                self._target = target = jobserver.find(self, self.source(), fresh)
                if self._client is None or before is None or before.place != target.place:
                    self._extensions = None
                    place = target.place
                    self._client = Client(place.url, self._token, TIMEOUT, self.exp_id, place.certificate,
                                          place.hint, keep=True)
            return self._client

    def _token(self) -> Optional[str]:
        target = self._target
        assert target is not None
        if self._in_job:
            return target.place.token or script_token(self.environ)
        return target.token()

    def meet(self, patience: float) -> None:
        """Returns when a job server that can be the right one answers; one that is just starting is waited
        for, for so many seconds. Raises NoServer, Unreachable, WrongServer and what finding it raises."""
        def waits(error: JdError) -> None:
            say("waiting up to %s for the server of %s: %s" % (
                terminal.duration(patience), self.exp_id, error.what))

        with of_their_kinds():
            probe.check(self._reached(), self.exp_id)
        try:
            self.tried(probe.ask, True, patience, waits)
        except ServerUnreachable as error:
            if self.source().is_named:
                raise
            raise NoServer("no server of experiment %s is known here, and at the default address nobody "
                           "answers: %s" % (self.exp_id, error.what),
                           "start one with jd_server --expId %s, give server= or set JD_SERVER, or set "
                           "JD_API_KEY for a Hub" % self.exp_id) from None


def say(line: str) -> None:
    """A line for whoever runs the program."""
    try:
        print("jd: " + line, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass  # stderr is closed, or there is none


# ---- the session of this process

_current: Optional[Session] = None


def init(env_file: Optional[PathLike] = None, *, exp_id: Optional[str] = None,
         hub_url: Optional[str] = None, server: Optional[str] = None) -> Session:
    """Begin a session, which the functions of `jd` use from now on; another call replaces it.

    What is not given comes from the JD_* variables, then from `env_file`, or `./.env` where that is missing.
    The server is that of `server` (a URL, or @FILE), else the Hub's where there is an API key (JD_API_KEY),
    else that of the experiment's access file. One that is just starting is waited for, 15 s at most.

    Raises BadValue (a ValueError) for a value that is missing or cannot be used, NoFileError for a missing
    `env_file`, Unreachable and Refused (RuntimeErrors) where neither Hub nor server lets us in.
    """
    global _current
    with of_their_kinds():
        session = _planned(env_file, exp_id, hub_url, server)
    session.meet(MEETING)
    _current = session
    return session


def use(session: Optional[Session]) -> None:
    """Have the functions of `jd` use a session that somebody else has made, or none."""
    global _current
    _current = session


def current(caller: str) -> Session:
    """The session, for the function `caller`. Where there is none, and variables or `./.env` name the
    experiment and its server, it begins. Raises NoSession, and what `init` does."""
    if _current is not None:
        return _current
    how = "call jd.init(exp_id=…) first"
    try:
        session = _planned(None, None, None, None)
        if not session.source().is_named:
            raise NoSession("jd.%s needs a session, and nothing names a server of experiment %s" % (
                caller, session.exp_id), "start jd_server --expId %s, or %s" % (session.exp_id, how))
    except NoSession:
        raise
    except JdError as error:
        raise NoSession("jd.%s needs a session, and none can begin by itself: %s" % (caller, error.what),
                        how) from None
    return init()


def existing() -> Optional[Session]:
    """The session that somebody has begun."""
    return _current


def planned(exp_id: Optional[str], otherwise: str) -> Session:
    """A session that nobody uses yet, and whose server nobody has asked: of the experiment `exp_id`, else of
    the one that the variables name, else of `otherwise`. Raises BadValue, StorageError."""
    with of_their_kinds():
        return _planned(None, exp_id, None, None, otherwise)


def _planned(env_file: Optional[PathLike], exp_id: Optional[str], hub_url: Optional[str],
             server: Optional[str], otherwise: Optional[str] = None) -> Session:
    for name, value in (("exp_id", exp_id), ("hub_url", hub_url), ("server", server)):
        if not isinstance(value, (str, type(None))):
            raise BadType("%s=%s is no text" % (name, protocol.shown(value)))
    environ = envfile.over(envfile.read(env_file), os.environ)
    given = {"hub": hub_url, "server": server}
    arguments = {name: value for name, value in given.items() if value is not None and value.strip()}
    setting = next(row for row in settings.WORKER if row.name == "expId")
    found = (settings.Given(exp_id, "exp_id=") if exp_id is not None and exp_id.strip()
             else settings.lookup(setting, {}, environ))
    if found is None and otherwise is not None:
        found = settings.Given(otherwise, "the name of the script")
    if found is None:
        raise BadValue("no experiment is named", "give jd.init(exp_id=…), or set JD_EXP_ID")
    return Session(settings.parse_given(setting, found), arguments, environ)
